import { type Aggregator, createAggregator, defaultAggregatorOptions } from '@blockferry/aggregator'
import { type GroupMembership, type ReplicationLog, siteTopicSpecs } from '@blockferry/replication-log'
import { MiB } from '@blockferry/runtime'
import { packPayloadSync } from '@blockferry/schemas'
import type { Host } from './host.ts'
import type { SimulatedProcess } from './kernel.ts'
import { seededRandom } from './seeded-random.ts'
import type { World } from './world.ts'

/** Largest memory of windows and sets on their way; small, so that the limit is met. */
export const foldingBytesMax = 6 * MiB

export class AggregatorHost implements Host {
  readonly name: string
  readonly #world: World
  readonly #groupId: string
  #process: SimulatedProcess | null = null
  #stop = new AbortController()
  #memberships: GroupMembership[] = []
  aggregator: Aggregator | null = null

  /** Another group id makes a zombie: it works on every partition beside the regular ones. */
  constructor(world: World, options: { readonly name: string; readonly groupId: string }) {
    this.#world = world
    this.name = options.name
    this.#groupId = options.groupId
  }

  get isUp(): boolean {
    return this.#process?.alive === true
  }

  start(): void {
    const { kernel } = this.#world
    const process = kernel.process(this.name)
    this.#process = process
    const stop = this.#world.stopSignal()
    this.#stop = stop
    const aggregator = createAggregator(
      {
        clock: kernel.clock(process),
        random: seededRandom(kernel.random.uint32()),
        connectLog: () => Promise.resolve(this.#connect(process)),
        pack: (data) => Promise.resolve(packPayloadSync(data)),
        logger: this.#logger(process),
        meter: silentMeter,
      },
      this.#options(),
    )
    this.aggregator = aggregator
    this.#world.run(process, async () => {
      await aggregator.run(stop.signal)
      if (!process.alive) return
      kernel.kill(process)
      this.#world.journal.note(this.name, 'stopped')
    })
  }

  #options() {
    const { scenario } = this.#world
    const partitions = scenario.kafkaPartitions
    return {
      ...defaultAggregatorOptions,
      topics: siteTopicSpecs({ site: 'site-a', peerSite: 'site-b', partitions }),
      groupId: this.#groupId,
      windowAgeMsMax: scenario.windowAgeMsMax,
      foldingBytesMax,
      fetchBytesMax: 2 * MiB,
      fetchPartitionBytesMax: 1 * MiB,
      backOffMsMax: 500,
    }
  }

  #connect(process: SimulatedProcess): ReplicationLog {
    const log = this.#world.clusterA.connect({ clientId: this.#world.clientOf(process) })
    const joinGroup = log.joinGroup.bind(log)
    log.joinGroup = async (options) => {
      const membership = await joinGroup(options)
      this.#memberships.push(membership)
      return membership
    }
    return log
  }

  kill(): void {
    if (this.#process === null) return
    this.#world.kernel.kill(this.#process)
    void this.#world.clusterA.crashClient(this.#world.clientOf(this.#process))
    this.#process = null
    this.#memberships = []
  }

  stop(): void {
    this.#stop.abort()
  }

  /** A paused member's session expires: its partitions go to others while it still believes it has them. */
  pause(paused: boolean): void {
    if (this.#process === null) return
    this.#process.paused = paused
    if (paused) for (const membership of this.#memberships) void membership.leave()
  }

  #logger(process: SimulatedProcess) {
    const note = (fields: Readonly<Record<string, unknown>>, text: string): void => {
      if (process.alive) this.#world.journal.note(this.name, `${text} ${errorOf(fields)}`)
    }
    return { info: note, warn: note, error: note }
  }
}

export function errorOf(fields: Readonly<Record<string, unknown>>): string {
  const { err } = fields
  return err instanceof Error ? `(${err.message})` : ''
}

const silentMeter = {
  groupRead(): void {},
  heartbeatPassed(): void {},
  setFolded(): void {},
  setPacked(): void {},
  produced(): void {},
  recordUnreadable(): void {},
  recordPassedOver(): void {},
  kafkaFailed(): void {},
}
