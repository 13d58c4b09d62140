/*
 * MirrorMaker from outside:
 *
 *   topics on both clusters ──► JVM ──► its flows, watched ──FAILED or dead──► a new JVM …
 *
 * Invariant K3: every topic, the mirrored ones too, exists with our configuration on both clusters before
 * the JVM is launched; it would create what is missing with defaults of its own.
 */
import type { Clock } from '@blockferry/runtime'
import type { Logger } from '@blockferry/runtime/service'
import { ensureTopicsUntilDone, siteTopicSpecs } from '@blockferry/replication-log'
import {
  type ChildEvent,
  type ChildSpec,
  type ChildView,
  type FlowReport,
  type LaunchedProcess,
  mirrorFlows,
  MirrorMonitor,
  type MonitoredSite,
  SupervisedChild,
} from '@blockferry/supervision'

export interface MirrorSupervisorDeps {
  readonly clock: Clock
  readonly logger: Logger
  readonly launch: (spec: ChildSpec) => LaunchedProcess
  /** The site whose updates are carried here, reached over the WAN. */
  readonly source: MonitoredSite
  readonly target: MonitoredSite
  readonly spec: ChildSpec
  readonly partitions: number
}

/** Sets the topics up, keeps the JVM running, watches its flows. */
export class MirrorSupervisor {
  readonly #deps: MirrorSupervisorDeps
  readonly #child: SupervisedChild
  readonly #monitor: MirrorMonitor
  /** Per site: why its topics are not there yet; null: they are. */
  readonly #waiting = new Map<string, string | null>()
  #launchedAtMs = 0
  #lastExit: string | null = null

  constructor(deps: MirrorSupervisorDeps) {
    const { clock, launch, logger, source, target } = deps
    this.#deps = deps
    this.#child = new SupervisedChild(deps.spec, { clock, launch, onEvent: (event) => this.#onEvent(event) })
    this.#monitor = new MirrorMonitor({
      clock,
      logger,
      flows: mirrorFlows({ source, target }),
      launchedAtMs: () => this.#launchedAtMs,
      onFailed: (reason) => this.#child.restart(reason),
    })
    for (const { name } of [source, target]) this.#waiting.set(name, 'its brokers have not answered yet')
  }

  get flows(): readonly FlowReport[] {
    return this.#monitor.reports
  }

  get process(): ChildView {
    const { pid, restarts, spec } = this.#child
    return { name: spec.name, pid, restarts }
  }

  /** Why the flows do not run; empty when they do. */
  get reasons(): readonly string[] {
    const waiting = [...this.#waiting].filter(([, why]) => why !== null)
    if (waiting.length > 0) return waiting.map(([site, why]) => `topics of ${site}: ${why}`)
    if (this.#child.pid === null) return [`MirrorMaker does not run: ${this.#lastExit ?? 'not launched yet'}`]
    return this.flows.flatMap(({ failed, flow, running, trouble }) => {
      if (trouble !== null) return [`flow ${flow}: ${trouble}`]
      if (running) return []
      return [`flow ${flow} ${failed.length > 0 ? `FAILED: ${failed.join('; ')}` : 'does not run yet'}`]
    })
  }

  /**
   * Works until the signal aborts, then stops the JVM in order.
   * @throws TOPIC_MISMATCH: a person must look first
   */
  async run(signal: AbortSignal): Promise<void> {
    const { source, target } = this.#deps
    await Promise.all([
      this.#ensureTopics({ here: source, peer: target }, signal),
      this.#ensureTopics({ here: target, peer: source }, signal),
    ])
    if (signal.aborted) return
    const stopped = Promise.withResolvers<void>()
    signal.addEventListener('abort', () => stopped.resolve(this.#child.stop()), { once: true })
    await this.#child.start()
    await this.#monitor.run(signal)
    await stopped.promise
  }

  async #ensureTopics(
    sites: { readonly here: MonitoredSite; readonly peer: MonitoredSite },
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, logger, partitions } = this.#deps
    const { here, peer } = sites
    await ensureTopicsUntilDone(
      {
        replicationLog: here.log,
        clock,
        logger: logger.child({ site: here.name }),
        topics: siteTopicSpecs({ site: here.name, peerSite: peer.name, partitions }),
        onWaiting: (why) => this.#waiting.set(here.name, why),
      },
      signal,
    )
    if (!signal.aborted) this.#waiting.set(here.name, null)
  }

  #onEvent(event: ChildEvent): void {
    const { clock, logger } = this.#deps
    const fields = { event: `mirror-${event.kind}`, ...event, kind: undefined, name: undefined }
    switch (event.kind) {
      case 'started':
        this.#launchedAtMs = clock.wallMs()
        return logger.info(fields, `MirrorMaker started, pid ${event.pid}`)
      case 'serving':
        return
      case 'exited':
        this.#lastExit = event.reason
        return logger.warn(fields, `MirrorMaker ${event.reason}; restart in ${event.restartInMs} ms`)
      case 'restarted':
        this.#launchedAtMs = clock.wallMs()
        return logger.warn(fields, `MirrorMaker restarted, pid ${event.pid} (${event.reason})`)
      case 'stopped':
        if (event.forced) return logger.warn(fields, 'MirrorMaker did not stop in its time and was killed')
        return logger.info(fields, 'MirrorMaker stopped')
    }
  }
}
