import { partitionKey } from '../one-per-partition.ts'
import type { MemoryCluster } from './cluster.ts'

export interface MirrorFlow {
  readonly topic: string
  readonly remoteTopic: string
}

/**
 * MirrorMaker between two memory clusters (K7): same partition, same order, at least once. Drive it with
 * `copy`; `restart` goes back as after a kill -9, which re-sends what was already copied. A mirror that
 * fell behind the source's retention goes on at its new start, silently, as the real one does.
 */
export class MemoryMirror {
  readonly #source: MemoryCluster
  readonly #target: MemoryCluster
  readonly #flows: readonly MirrorFlow[]
  readonly #nextKafkaOffsets = new Map<string, bigint>()
  #connected = true

  constructor(options: {
    readonly source: MemoryCluster
    readonly target: MemoryCluster
    readonly flows: readonly MirrorFlow[]
  }) {
    this.#source = options.source
    this.#target = options.target
    this.#flows = options.flows
  }

  /** The link: false copies nothing, as a WAN cut. */
  setConnected(connected: boolean): void {
    this.#connected = connected
  }

  /** Copies at most so many records of each partition; returns how many it copied in all. */
  copy(recordsMax = Number.POSITIVE_INFINITY): number {
    if (!this.#connected || !this.#source.available || !this.#target.available) return 0
    let copied = 0
    for (const flow of this.#flows) {
      const partitions = this.#source.topic(flow.topic)?.partitions.length ?? 0
      for (let kafkaPartition = 0; kafkaPartition < partitions; kafkaPartition += 1) {
        copied += this.#copyPartition(flow, kafkaPartition, recordsMax)
      }
    }
    if (copied > 0) this.#target.announceChange()
    return copied
  }

  #copyPartition(flow: MirrorFlow, kafkaPartition: number, recordsMax: number): number {
    const source = this.#source.partition({ topic: flow.topic, kafkaPartition })
    const target = this.#target.partition({ topic: flow.remoteTopic, kafkaPartition })
    const key = partitionKey({ topic: flow.topic, kafkaPartition })
    let next = this.#nextKafkaOffsets.get(key) ?? 0n
    if (next < source.earliest || next > source.latest) next = source.earliest
    let copied = 0
    for (; next < source.latest && copied < recordsMax; next += 1n, copied += 1) {
      const record = source.records[Number(next - source.earliest)]
      if (record !== undefined) target.appendCopy(record, this.#target.clock.wallMs())
    }
    this.#nextKafkaOffsets.set(key, next)
    return copied
  }

  /** Goes back by so many records of each partition: the next copies send them again, old after new. */
  restart(resentRecordsMax: number): void {
    for (const [key, next] of this.#nextKafkaOffsets) {
      const back = next - BigInt(resentRecordsMax)
      this.#nextKafkaOffsets.set(key, back < 0n ? 0n : back)
    }
  }
}

/** Copies one topic whole once, from its start: for tests that need no mirror of their own. */
export function mirrorTopic(options: {
  readonly source: MemoryCluster
  readonly target: MemoryCluster
  readonly topic: string
  readonly remoteTopic: string
}): MemoryMirror {
  const { source, target, topic, remoteTopic } = options
  const mirror = new MemoryMirror({ source, target, flows: [{ topic, remoteTopic }] })
  mirror.copy()
  return mirror
}
