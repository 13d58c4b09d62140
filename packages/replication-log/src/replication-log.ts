/*
 * The one narrow door to Kafka (K6). Invariants every adapter keeps, checked by one conformance suite:
 *
 * L1  Records of one partition are read in the order of their offsets, each once per fetch position.
 * L2  At most one produce is outstanding per partition: a second call while one flies is a programmer error.
 * L3  A produce is atomic and ordered: its records get consecutive offsets. While its outcome is unknown the
 *     adapter retries the same frozen batch; it returns only when the batch is acknowledged by all replicas,
 *     or throws. After a throw the caller may not assume that the batch is absent (at-least-once).
 * L4  Errors of one partition never hide the records of another.
 */

import type { Fault } from '@blockferry/runtime'

export interface TopicPartition {
  readonly topic: string
  readonly kafkaPartition: number
}

export interface OutgoingRecord {
  readonly key: Buffer
  readonly value: Buffer
}

/** Key and value may be views of the whole fetch's memory: copy what is kept beyond its handling. */
export interface FetchedRecord {
  readonly key: Buffer | null
  /** Empty for a tombstone. */
  readonly value: Buffer
  readonly kafkaOffset: bigint
  /** LogAppendTime, ms. */
  readonly timestampMs: number
}

export interface ProduceRequest extends TopicPartition {
  /** At most 4 MiB together unless it is a single record; order is kept. */
  readonly records: readonly OutgoingRecord[]
}

export interface FetchPosition extends TopicPartition {
  readonly kafkaOffset: bigint
}

/** What one partition of a fetch answered. */
export type FetchOutcome =
  | (TopicPartition & {
      readonly kind: 'records'
      readonly records: readonly FetchedRecord[]
      readonly nextKafkaOffset: bigint
      /** Offset after the last record the broker has for readers. */
      readonly highWatermark: bigint
    })
  | (TopicPartition & {
      readonly kind: 'outOfRange'
      readonly earliest: bigint
      readonly latest: bigint
    })
  /** RECORD_BATCH_CORRUPT stays: `nextAfterDamage(cause)` is where reading can go on. */
  | (TopicPartition & { readonly kind: 'failed'; readonly code: string; readonly cause: unknown })

export interface FetchRequest {
  readonly positions: readonly FetchPosition[]
  /** Longest wait for the first byte, ms. */
  readonly waitMsMax: number
  /** Most bytes per partition; a single larger record is still returned. */
  readonly partitionBytesMax: number
  readonly bytesMax: number
}

export interface TopicSpec {
  readonly topic: string
  readonly partitions: number
  /** Kafka topic configuration; created with these, compared with these (K3). */
  readonly config: Readonly<Record<string, string>>
}

export interface TopicDescription {
  readonly topic: string
  /** Changes when a topic is deleted and created again. */
  readonly topicId: string
  readonly partitions: number
  readonly config: Readonly<Record<string, string>>
}

/**
 * The partitions this member owns; replaced whole at each rebalance, empty when membership is lost. Called
 * with one set after another. A listener that throws ends the process.
 */
export type AssignmentListener = (partitions: readonly TopicPartition[]) => Promise<void>

export interface GroupMembership extends AsyncDisposable {
  readonly memberId: string
  /**
   * Resolves with GROUP_MEMBER_FENCED when another member took this one's instance id: it has been told that
   * nothing is its own any more, and it does not join again. Pends for ever otherwise.
   */
  readonly fenced: Promise<Fault>
  leave(): Promise<void>
}

export interface ReplicationLog extends AsyncDisposable {
  /**
   * Appends records to one partition, acks = all. Returns the offset of the first. Waits out what another
   * try can change, up to the adapter's deadline; then, and at once for what it cannot, throws: size,
   * authorisation, timestamp, unknown or recreated topic, PRODUCER_FENCED, KAFKA_UNREACHABLE, KAFKA_TIMEOUT.
   * After any throw the caller resumes after its last acknowledged record; the next produce may follow at
   * once. The records must not change before it returns.
   */
  produce(request: ProduceRequest, signal?: AbortSignal): Promise<{ readonly firstKafkaOffset: bigint }>
  /**
   * One fetch over many partitions: an outcome for each position, in the order asked. Ends when one has
   * records or is out of range, else when the wait is over; partitions that fail are tried again until
   * then, so a loop around it does not spin. Throws only when the signal aborts or the log is closed.
   */
  fetch(request: FetchRequest, signal?: AbortSignal): Promise<readonly FetchOutcome[]>
  /** First offset still kept and the offset after the last record. */
  offsets(partition: TopicPartition): Promise<{ readonly earliest: bigint; readonly latest: bigint }>
  /** First offset whose timestamp is at or after `timestampMs`; null when there is none. */
  offsetAtTime(partition: TopicPartition, timestampMs: number): Promise<bigint | null>
  /** Deletes records before the offset (DeleteRecords); beyond the end: KAFKA_REJECTED, nothing deleted. */
  deleteBefore(partition: TopicPartition, kafkaOffset: bigint): Promise<void>
  /** Creates missing topics; throws TOPIC_MISMATCH naming every difference in partitions or limits (K3). */
  ensureTopics(specs: readonly TopicSpec[]): Promise<readonly TopicDescription[]>
  /** Null when there is no such topic. */
  describeTopic(topic: string): Promise<TopicDescription | null>
  /** Joins a group for assignment only; no offsets are ever committed (K4, A4). */
  joinGroup(options: {
    readonly groupId: string
    readonly topics: readonly string[]
    readonly onAssignment: AssignmentListener
  }): Promise<GroupMembership>
  close(): Promise<void>
}
