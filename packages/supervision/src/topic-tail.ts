import { MiB } from '@blockferry/runtime'
import type { FetchOutcome, FetchPosition, ReplicationLog } from '@blockferry/replication-log'

export interface TailEntry {
  readonly value: string
  readonly timestampMs: number
}

/** Keys kept; MirrorMaker's internal topics hold a few dozen. */
const entriesMax = 10_000

/** The newest value per key of a small compacted topic, read through the port. */
export class TopicTail {
  readonly topic: string
  readonly entries = new Map<string, TailEntry>()
  readonly #log: ReplicationLog
  #positions: FetchPosition[] | null = null

  constructor(log: ReplicationLog, topic: string) {
    this.#log = log
    this.topic = topic
  }

  /** Reads everything new. A topic that does not exist yet is simply empty. Throws what the port throws. */
  async poll(): Promise<void> {
    this.#positions ??= await this.#startPositions()
    if (this.#positions === null) return
    for (;;) {
      const request = { waitMsMax: 0, partitionBytesMax: 1 * MiB, bytesMax: 4 * MiB }
      const outcomes = await this.#log.fetch({ positions: this.#positions, ...request })
      const records = outcomes.map((outcome) => this.#absorb(outcome))
      if (records.every((count) => count === 0)) return
    }
  }

  async #startPositions(): Promise<FetchPosition[] | null> {
    const description = await this.#log.describeTopic(this.topic)
    if (description === null) return null
    const positions: FetchPosition[] = []
    for (let kafkaPartition = 0; kafkaPartition < description.partitions; kafkaPartition += 1) {
      const partition = { topic: this.topic, kafkaPartition }
      positions.push({ ...partition, kafkaOffset: (await this.#log.offsets(partition)).earliest })
    }
    return positions
  }

  #absorb(outcome: FetchOutcome): number {
    if (outcome.kind === 'failed') throw outcome.cause
    const at = this.#positions?.findIndex(({ kafkaPartition }) => kafkaPartition === outcome.kafkaPartition)
    const position = at === undefined ? undefined : this.#positions?.[at]
    if (at === undefined || position === undefined) return 0
    if (outcome.kind === 'outOfRange') {
      this.#positions?.splice(at, 1, { ...position, kafkaOffset: outcome.earliest })
      return 0
    }
    this.#positions?.splice(at, 1, { ...position, kafkaOffset: outcome.nextKafkaOffset })
    for (const { key, value, timestampMs } of outcome.records) {
      if (key === null) continue
      const name = key.toString()
      if (this.entries.size < entriesMax || this.entries.has(name)) {
        this.entries.set(name, { value: value.toString(), timestampMs })
      }
    }
    return outcome.records.length
  }
}
