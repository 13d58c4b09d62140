/*
 * Watches MirrorMaker from outside (K7): a JVM whose tasks FAILED stays up and looks healthy.
 *
 * Invariant M1: a connector or task that is FAILED leads to a new JVM; nothing else would ever restart it.
 */
import type { Clock } from '@blockferry/runtime'
import { explanationOf } from '@blockferry/runtime'
import type { Logger } from '@blockferry/runtime/service'
import type { ReplicationLog } from '@blockferry/replication-log'
import { type FlowState, flowState, mirroredOffsets } from './mirror-flow.ts'
import { TopicTail } from './topic-tail.ts'

export const pollMs = 1_000
/** How often a mirror that is behind is spoken of; changes of state are told at once. */
export const lagLineMs = 60_000
/** Heartbeats alone keep a flow a few records behind: what MirrorMaker has recorded is up to a second old. */
const spokenRecordsMin = 100

export interface FlowSpec {
  readonly name: string
  readonly sourceSite: string
  readonly topics: readonly string[]
  readonly source: ReplicationLog
  readonly target: ReplicationLog
}

/** One flow as people see it. */
export interface FlowReport extends FlowState {
  readonly flow: string
  /** Records of the source topic that are not yet at the target, as far as MirrorMaker has recorded it
   *  (each second); null until known. */
  readonly topics: readonly { readonly topic: string; readonly recordsBehind: number | null }[]
  /** Why the figures are old, when they are: a broker does not answer. */
  readonly trouble: string | null
}

/** A site as the monitor reaches it. */
export interface MonitoredSite {
  readonly name: string
  readonly log: ReplicationLog
}

/** Both flows of deploy/kafka/mirror-maker.properties. */
export function mirrorFlows(sites: {
  readonly source: MonitoredSite
  readonly target: MonitoredSite
}): readonly FlowSpec[] {
  const { source, target } = sites
  const flow = (from: MonitoredSite, to: MonitoredSite, topics: readonly string[]): FlowSpec => ({
    name: `${from.name}->${to.name}`,
    sourceSite: from.name,
    topics,
    source: from.log,
    target: to.log,
  })
  return [
    flow(source, target, ['updates', 'disks', 'requests']),
    flow(target, source, ['positions', 'disks', 'requests']),
  ]
}

interface Flow {
  readonly spec: FlowSpec
  readonly status: TopicTail
  readonly offsets: TopicTail
  report: FlowReport
  /** Whether the last look at its state succeeded. */
  stateKnown: boolean
}

export interface MirrorMonitorOptions {
  readonly clock: Clock
  readonly flows: readonly FlowSpec[]
  /** Wall time at which the running JVM was launched. */
  readonly launchedAtMs: () => number
  readonly onFailed: (reason: string) => void
  readonly logger: Logger
}

export class MirrorMonitor {
  readonly #options: MirrorMonitorOptions
  readonly #flows: readonly Flow[]
  readonly #told = new Map<string, string>()
  #lagToldAtMs: number
  #reportedLaunchMs: number | null = null

  constructor(options: MirrorMonitorOptions) {
    this.#options = options
    this.#lagToldAtMs = options.clock.monotonicMs()
    this.#flows = options.flows.map((spec) => ({
      spec,
      status: new TopicTail(spec.target, `mm2-status.${spec.sourceSite}.internal`),
      offsets: new TopicTail(spec.target, `mm2-offsets.${spec.sourceSite}.internal`),
      report: {
        flow: spec.name,
        running: false,
        failed: [],
        topics: spec.topics.map((topic) => ({ topic, recordsBehind: null })),
        trouble: null,
      },
      stateKnown: false,
    }))
  }

  get reports(): readonly FlowReport[] {
    return this.#flows.map(({ report }) => report)
  }

  /**
   * Looks at each flow every second until the signal aborts; on its own, so that a cluster that does not
   * answer never hides what the other one says.
   */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#flows.map((flow) => this.#watch(flow, signal)))
  }

  async #watch(flow: Flow, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#lookAtState(flow)
      if (!signal.aborted) this.#endFailed(flow)
      await this.#lookAtLag(flow)
      this.#report()
      await this.#options.clock.sleep(pollMs, signal)
    }
  }

  /** M1, once for each JVM. */
  #endFailed({ report }: Flow): void {
    const launchedAtMs = this.#options.launchedAtMs()
    if (report.failed.length === 0 || this.#reportedLaunchMs === launchedAtMs) return
    this.#reportedLaunchMs = launchedAtMs
    this.#options.onFailed(report.failed.map((what) => `${report.flow} ${what}`).join('; '))
  }

  /** What an operator wants to read: each change of a flow's state, and once a minute how far it is behind. */
  #report(): void {
    const { clock, logger } = this.#options
    for (const { flow, running, trouble } of this.reports) {
      const state = trouble ?? (running ? 'runs' : 'does not run yet')
      if (this.#told.get(flow) === state) continue
      this.#told.set(flow, state)
      if (trouble === null) logger.info(`mirror ${flow} ${state}`)
      else logger.warn(`mirror ${flow}: ${trouble}`)
    }
    if (clock.monotonicMs() - this.#lagToldAtMs < lagLineMs) return
    this.#lagToldAtMs = clock.monotonicMs()
    for (const { flow, topics } of this.reports) {
      for (const { topic, recordsBehind } of topics) {
        if (recordsBehind !== null && recordsBehind >= spokenRecordsMin) {
          logger.info(`mirror ${flow} ${topic}: ${recordsBehind} records behind`)
        }
      }
    }
  }

  /** What the JVM says of itself, at the target of the flow. */
  async #lookAtState(flow: Flow): Promise<void> {
    const launchedAtMs = this.#options.launchedAtMs()
    try {
      await flow.status.poll()
      flow.report = { ...flow.report, ...flowState(flow.status.entries, launchedAtMs) }
      flow.stateKnown = true
    } catch (error) {
      flow.stateKnown = false
      flow.report = { ...flow.report, running: false, failed: [], trouble: explanationOf(error) }
    }
  }

  /** How far the flow is behind: what the source has against what the target was given. */
  async #lookAtLag(flow: Flow): Promise<void> {
    try {
      await flow.offsets.poll()
      const topics: { topic: string; recordsBehind: number | null }[] = []
      for (const topic of flow.spec.topics) {
        topics.push({ topic, recordsBehind: await recordsBehind(flow, topic) })
      }
      flow.report = { ...flow.report, topics, trouble: flow.stateKnown ? null : flow.report.trouble }
    } catch (error) {
      // A broker is away: its own supervision says so; the figures here only say that they are old.
      flow.report = { ...flow.report, trouble: explanationOf(error) }
    }
  }
}

async function recordsBehind(flow: Flow, topic: string): Promise<number | null> {
  const { source } = flow.spec
  const description = await source.describeTopic(topic)
  if (description === null) return null
  const mirrored = mirroredOffsets(flow.offsets.entries)
  let behind = 0n
  for (let kafkaPartition = 0; kafkaPartition < description.partitions; kafkaPartition += 1) {
    const { earliest, latest } = await source.offsets({ topic, kafkaPartition })
    const reached = mirrored.get(`${topic}/${kafkaPartition}`) ?? earliest
    if (latest > reached) behind += latest - reached
  }
  return Number(behind)
}
