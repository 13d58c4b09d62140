import { createMemoryCluster, type MemoryCluster, siteTopicSpecs } from '@blockferry/replication-log'
import { assert } from '@blockferry/runtime'
import { RunJournal } from './journal.ts'
import { Kernel, type SimulatedProcess } from './kernel.ts'
import type { Scenario } from './scenario.ts'

/** Latency of a call over the local network. */
const networkLatency = { probability: 0.3, msMax: 4 }

/** What every part of a run shares: the kernel, both clusters, the journal of the run. */
export class World {
  readonly kernel: Kernel
  readonly scenario: Scenario
  readonly journal: RunJournal
  readonly clusterA: MemoryCluster
  readonly clusterB: MemoryCluster
  /** Never dies: the clusters' own time. */
  readonly ground: SimulatedProcess
  readonly #stops: AbortController[] = []
  readonly #clients = new Map<string, () => Promise<void>>()
  /** What no process may throw: set by the first that did. */
  broken: { readonly who: string; readonly error: unknown } | null = null

  constructor(scenario: Scenario, print?: (line: string) => void) {
    this.scenario = scenario
    this.kernel = new Kernel(scenario.seed)
    const { digest } = this.kernel
    const parts = { digest, nowMs: () => this.kernel.nowMs }
    this.journal = new RunJournal(print === undefined ? parts : { ...parts, print })
    this.ground = this.kernel.process('ground')
    this.clusterA = this.#cluster('site-a', 'site-b')
    this.clusterB = this.#cluster('site-b', 'site-a')
  }

  #cluster(site: string, peerSite: string): MemoryCluster {
    const cluster = createMemoryCluster({
      clock: this.kernel.clock(this.ground),
      step: (point) => {
        const step = this.#clients.get(point.clientId)
        assert(step !== undefined, `client ${point.clientId} has its process`)
        return step()
      },
    })
    const partitions = this.scenario.kafkaPartitions
    for (const spec of siteTopicSpecs({ site, peerSite, partitions })) cluster.createTopic(spec)
    return cluster
  }

  /** A client id of one incarnation of a process: its operations stop with it. */
  clientOf(process: SimulatedProcess): string {
    const clientId = `${process.name}#${process.serial}`
    this.#clients.set(clientId, this.kernel.stepper(process, networkLatency))
    return clientId
  }

  /**
   * A stop signal of one incarnation. Node keeps signals made of others, and all that listens to them, until
   * they abort: at the end of a run all do, or the next runs would not have the memory.
   */
  stopSignal(): AbortController {
    const stop = new AbortController()
    this.#stops.push(stop)
    return stop
  }

  /** Nothing runs any more. */
  end(): void {
    this.kernel.killAll()
    for (const stop of this.#stops) stop.abort()
  }

  /** Runs a process's main; what it throws while alive is a broken invariant. */
  run(process: SimulatedProcess, main: () => Promise<void>): void {
    main().catch((error: unknown) => {
      if (process.alive) this.fail(process.name, error)
    })
  }

  fail(who: string, error: unknown): void {
    this.broken ??= { who, error }
  }
}
