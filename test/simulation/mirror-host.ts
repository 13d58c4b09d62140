import type { FetchedRecord, MemoryCluster } from '@blockferry/replication-log'
import { decodeRecord } from '@blockferry/schemas'
import type { Host } from './host.ts'
import type { SimulatedProcess } from './kernel.ts'
import type { World } from './world.ts'

/*
 * MirrorMaker (K7): same partition, same order, at least once. It commits its place now and then, goes back to
 * it after a kill, which re-sends old records after new ones, and goes on silently where retention outran it.
 */

interface Flow {
  readonly source: MemoryCluster
  readonly target: MemoryCluster
  readonly topic: string
  readonly remoteTopic: string
  readonly kafkaPartition: number
}

const recordsPerCopyMax = 20
const idleMsMax = 500
const wanMsMax = 12

export class MirrorHost implements Host {
  readonly name = 'mirror'
  readonly #world: World
  readonly #flows: readonly Flow[]
  readonly #committed = new Map<Flow, bigint>()
  #process: SimulatedProcess | null = null
  /** False: the WAN carries nothing. */
  linkUp = true
  /** True: the next set that begins a resync is lost on the way. */
  losesResyncStart = false

  constructor(world: World) {
    this.#world = world
    const { clusterA, clusterB, scenario } = world
    const aToB = (topic: string, kafkaPartition: number) =>
      ({ source: clusterA, target: clusterB, topic, remoteTopic: `site-a.${topic}`, kafkaPartition }) as const
    const bToA = (topic: string) =>
      ({
        source: clusterB,
        target: clusterA,
        topic,
        remoteTopic: `site-b.${topic}`,
        kafkaPartition: 0,
      }) as const
    this.#flows = [
      ...Array.from({ length: scenario.kafkaPartitions }, (_, at) => aToB('updates', at)),
      ...['disks', 'requests'].map((topic) => aToB(topic, 0)),
      ...['positions', 'disks', 'requests'].map(bToA),
    ]
  }

  get isUp(): boolean {
    return this.#process?.alive === true
  }

  start(): void {
    const process = this.#world.kernel.process(this.name)
    this.#process = process
    for (const flow of this.#flows) this.#world.run(process, () => this.#copy(flow, process))
  }

  kill(): void {
    if (this.#process !== null) this.#world.kernel.kill(this.#process)
    this.#process = null
  }

  stop(): void {
    this.kill()
  }

  pause(paused: boolean): void {
    if (this.#process !== null) this.#process.paused = paused
  }

  /** The next start sends so many records of each partition again, or fewer. */
  goBack(recordsMax: number): void {
    for (const [flow, next] of this.#committed) {
      const back = next - BigInt(this.#world.kernel.random.below(recordsMax + 1))
      this.#committed.set(flow, back < 0n ? 0n : back)
    }
  }

  async #copy(flow: Flow, process: SimulatedProcess): Promise<void> {
    const { kernel } = this.#world
    const from = flow.source.partition(flow)
    let next = this.#committed.get(flow) ?? 0n
    for (;;) {
      if (next < from.earliest || next > from.latest) next = from.earliest
      if (!this.#canCopy(flow)) await kernel.step(process, 50)
      else if (next >= from.latest) {
        this.#committed.set(flow, next)
        await flow.source.changeOrDelay(idleMsMax)
        await kernel.step(process)
      } else next = await this.#copySome(flow, process, next)
    }
  }

  /** Not while the link, a cluster or the topic it writes to is gone. */
  #canCopy({ remoteTopic, source, target }: Flow): boolean {
    return this.linkUp && source.available && target.available && target.topic(remoteTopic) !== undefined
  }

  /** One fetch and one produce: what is on its way when the link goes is fetched again. */
  async #copySome(flow: Flow, process: SimulatedProcess, next: bigint): Promise<bigint> {
    const { kernel } = this.#world
    const records = flow.source
      .partition(flow)
      .read(next, Infinity)
      .slice(0, kernel.random.between(1, recordsPerCopyMax))
    await kernel.step(process, kernel.random.below(wanMsMax * 100) / 100)
    if (!this.#canCopy(flow)) return next
    const target = flow.target.partition({ topic: flow.remoteTopic, kafkaPartition: flow.kafkaPartition })
    for (const record of records) {
      if (!this.#isLost(record)) target.appendCopy(record, flow.target.clock.wallMs())
    }
    flow.target.announceChange()
    await kernel.step(process)
    const copied = next + BigInt(records.length)
    if (kernel.random.chance(0.3)) this.#committed.set(flow, copied)
    return copied
  }

  #isLost({ value }: FetchedRecord): boolean {
    if (!this.losesResyncStart) return false
    const any = decodeRecord(value)
    if (any.kind !== 'UpdateSet') return false
    const { firstSequence, generation } = any.record
    if (firstSequence !== 1 || generation.base.kind === 'none') return false
    this.losesResyncStart = false
    this.#world.journal.note(this.name, `loses the first set of generation ${generation.number}`)
    return true
  }
}
