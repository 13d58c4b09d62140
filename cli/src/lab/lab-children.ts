import type { Clock } from '@blockferry/runtime'
import type { Logger } from '@blockferry/runtime/service'
import {
  type ChildEvent,
  type ChildSpec,
  type ChildView,
  type LaunchedProcess,
  SupervisedChild,
} from '@blockferry/supervision'

/** The way of the data: each part can still hand over what it holds. Names in one row stop together. */
const stopOrder: readonly (readonly string[])[] = [
  ['tap-agent'],
  ['aggregator'],
  ['applier'],
  ['mirror'],
  ['wan'],
  ['kafka-a', 'kafka-b'],
]

export interface LabChildrenDeps {
  readonly clock: Clock
  readonly logger: Logger
  readonly launch: (spec: ChildSpec) => LaunchedProcess
  /** A child was restarted: the new pid is known to `pids` already. */
  readonly onRestarted: (name: string, pid: number) => void
}

/** The processes of a lab by name. */
export class LabChildren {
  readonly #deps: LabChildrenDeps
  readonly #children = new Map<string, SupervisedChild>()
  readonly #launchedAtMs = new Map<string, number>()
  readonly #pids = new Map<string, number>()

  constructor(deps: LabChildrenDeps) {
    this.#deps = deps
  }

  /** Starts one process and keeps it running; resolves when it first serves. */
  async start(spec: ChildSpec): Promise<void> {
    const { clock, launch } = this.#deps
    const child = new SupervisedChild(spec, { clock, launch, onEvent: (event) => this.#onEvent(event) })
    this.#children.set(spec.name, child)
    await child.start()
  }

  get(name: string): SupervisedChild | undefined {
    return this.#children.get(name)
  }

  /** Newest pid by name. */
  get pids(): ReadonlyMap<string, number> {
    return this.#pids
  }

  /** Wall time of the newest launch. */
  launchedAtMs(name: string): number {
    return this.#launchedAtMs.get(name) ?? 0
  }

  processes(): readonly ChildView[] {
    return [...this.#children].map(([name, { pid, restarts }]) => ({ name, pid, restarts }))
  }

  async stop(): Promise<void> {
    for (const row of stopOrder) {
      await Promise.all(row.map(async (name) => this.#children.get(name)?.stop()))
    }
  }

  #onEvent(event: ChildEvent): void {
    const { logger } = this.#deps
    switch (event.kind) {
      case 'started':
        this.#launched(event)
        return logger.info(`${event.name} started, pid ${event.pid}`)
      case 'serving':
        // Where nothing was waited for (the mirror), there is nothing to tell.
        if (event.afterMs < 100) return
        return logger.info(`${event.name} serves after ${(event.afterMs / 1000).toFixed(1)} s`)
      case 'exited':
        return logger.warn(`${event.name} ${event.reason}; restart in ${event.restartInMs} ms`)
      case 'restarted':
        this.#launched(event)
        logger.warn(`${event.name} restarted, pid ${event.pid} (${event.reason})`)
        return this.#deps.onRestarted(event.name, event.pid)
      case 'stopped':
        if (event.forced) return logger.warn(`${event.name} did not stop in its time and was killed`)
        return logger.info(`${event.name} stopped`)
    }
  }

  #launched(event: { readonly name: string; readonly pid: number }): void {
    this.#pids.set(event.name, event.pid)
    this.#launchedAtMs.set(event.name, this.#deps.clock.wallMs())
  }
}
