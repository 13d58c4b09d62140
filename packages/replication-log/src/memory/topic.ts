import { assert } from '@blockferry/runtime'
import { fault } from '../faults.ts'
import type { FetchedRecord, OutgoingRecord, TopicDescription, TopicSpec } from '../replication-log.ts'

/** What a client sends again, unchanged, while it does not know the outcome (L3). */
export interface FrozenBatch {
  readonly session: string
  readonly sequence: number
  readonly records: readonly OutgoingRecord[]
}

interface SessionTail {
  readonly sequence: number
  readonly firstKafkaOffset: bigint
}

/** One partition: records at consecutive offsets from `earliest` to `latest`. */
export class MemoryPartition {
  #records: FetchedRecord[] = []
  #earliest = 0n
  readonly #damaged: { readonly from: bigint; readonly to: bigint }[] = []
  readonly #tails = new Map<string, SessionTail>()

  get earliest(): bigint {
    return this.#earliest
  }

  get latest(): bigint {
    return this.#earliest + BigInt(this.#records.length)
  }

  get records(): readonly FetchedRecord[] {
    return this.#records
  }

  /** Appends a batch whole, or finds that it already did: the broker's side of an idempotent session. */
  append(batch: FrozenBatch, timestampMs: number): bigint {
    const tail = this.#tails.get(batch.session)
    if (tail !== undefined && tail.sequence === batch.sequence) return tail.firstKafkaOffset
    assert(tail === undefined || batch.sequence === tail.sequence + 1, 'sequences of a session have no holes')
    const firstKafkaOffset = this.latest
    for (const { key, value } of batch.records) {
      // Copied: the caller may reuse its buffers once the produce returned.
      this.#push({ key: Buffer.from(key), value: Buffer.from(value), timestampMs })
    }
    this.#tails.set(batch.session, { sequence: batch.sequence, firstKafkaOffset })
    return firstKafkaOffset
  }

  /** Appends what a mirror carries over; its session is not idempotent across restarts. */
  appendCopy(record: FetchedRecord, timestampMs: number): void {
    this.#push({ key: record.key, value: record.value, timestampMs })
  }

  #push(record: Omit<FetchedRecord, 'kafkaOffset'>): void {
    this.#records.push({ ...record, kafkaOffset: this.latest })
  }

  /** The batch from one offset to before another is damaged where it is stored. */
  damage(from: bigint, to: bigint): void {
    this.#damaged.push({ from, to })
  }

  /** Where the damaged batch that holds this offset ends; null when it lies in none. */
  damagedThrough(kafkaOffset: bigint): bigint | null {
    return this.#damaged.find(({ from, to }) => from <= kafkaOffset && kafkaOffset < to)?.to ?? null
  }

  /** Records from an offset on, at least one, then while they fit, up to what is damaged. */
  read(kafkaOffset: bigint, bytesMax: number): readonly FetchedRecord[] {
    const start = Number(kafkaOffset - this.#earliest)
    const found: FetchedRecord[] = []
    let bytes = 0
    for (let index = start; index < this.#records.length; index += 1) {
      const record = this.#records[index]
      assert(record !== undefined, 'index is below length')
      bytes += (record.key?.length ?? 0) + record.value.length
      if (found.length > 0 && (bytes > bytesMax || this.damagedThrough(record.kafkaOffset) !== null)) break
      found.push(record)
    }
    return found
  }

  firstAtOrAfter(timestampMs: number): bigint | null {
    return this.#records.find((record) => record.timestampMs >= timestampMs)?.kafkaOffset ?? null
  }

  /** Retention or DeleteRecords. */
  dropBefore(kafkaOffset: bigint): void {
    const target = kafkaOffset > this.latest ? this.latest : kafkaOffset
    if (target <= this.#earliest) return
    this.#records.splice(0, Number(target - this.#earliest))
    this.#earliest = target
  }

  /** A cluster that lost acknowledged records: offsets from here on are given out again. */
  dropFrom(kafkaOffset: bigint): void {
    if (kafkaOffset < this.#earliest) this.#earliest = kafkaOffset
    this.#records.length = Math.max(0, Number(kafkaOffset - this.#earliest))
    this.#tails.clear()
  }

  /** Exchanges a stored value: a bit flip in the topic. */
  replaceValue(kafkaOffset: bigint, change: (value: Buffer) => Buffer): void {
    const index = Number(kafkaOffset - this.#earliest)
    const record = this.#records[index]
    assert(record !== undefined, `no record at ${kafkaOffset}`)
    this.#records[index] = { ...record, value: change(Buffer.from(record.value)) }
  }
}

/** One topic of a memory cluster. */
export class MemoryTopic {
  readonly spec: TopicSpec
  readonly topicId: string
  readonly partitions: readonly MemoryPartition[]

  constructor(spec: TopicSpec, topicId: string) {
    this.spec = spec
    this.topicId = topicId
    this.partitions = Array.from({ length: spec.partitions }, () => new MemoryPartition())
  }

  get batchBytesMax(): number {
    return Number(this.spec.config['max.message.bytes'] ?? 1_048_588)
  }

  describe(): TopicDescription {
    return {
      topic: this.spec.topic,
      topicId: this.topicId,
      partitions: this.spec.partitions,
      config: this.spec.config,
    }
  }

  partition(kafkaPartition: number): MemoryPartition {
    const partition = this.partitions[kafkaPartition]
    if (partition === undefined) {
      throw fault('TOPIC_UNKNOWN', `topic ${this.spec.topic} has no partition ${kafkaPartition}`)
    }
    return partition
  }
}
