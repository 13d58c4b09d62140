import type { CloseReason } from '@blockferry/disk-stream'
import type { ReplicationLog, TopicSpec } from '@blockferry/replication-log'
import type { Clock, Random } from '@blockferry/runtime'
import type { PackedPayload } from '@blockferry/schemas'

/** What the aggregator says to people; pino's logger fits. */
export interface AggregatorLogger {
  info(fields: Readonly<Record<string, unknown>>, text: string): void
  warn(fields: Readonly<Record<string, unknown>>, text: string): void
  error(fields: Readonly<Record<string, unknown>>, text: string): void
}

/** What the aggregator counts. Sizes in bytes. */
export interface AggregatorMeter {
  groupRead(group: {
    readonly payloadBytes: number
    readonly events: number
    readonly droppedEvents: number
  }): void
  heartbeatPassed(): void
  /** A window closed: bytes before folding and after. */
  setFolded(set: {
    readonly rawBytes: number
    readonly dataBytes: number
    readonly closedBy: CloseReason
  }): void
  /** The payload as it goes out. */
  setPacked(packedBytes: number): void
  produced(batch: { readonly records: number; readonly bytes: number; readonly latencyMs: number }): void
  recordUnreadable(code: string): void
  recordPassedOver(code: string): void
  kafkaFailed(code: string): void
}

export interface AggregatorDeps {
  readonly clock: Clock
  readonly random: Random
  /** A new client of Kafka at the source site; called again after a fatal client error. */
  readonly connectLog: () => Promise<ReplicationLog>
  /** zstd off the main thread; in simulation the synchronous one. */
  readonly pack: (data: readonly Buffer[]) => Promise<PackedPayload>
  readonly logger: AggregatorLogger
  readonly meter: AggregatorMeter
}

export interface AggregatorOptions {
  /** Created or compared at the start of each session (K3). */
  readonly topics: readonly TopicSpec[]
  readonly inputTopic: string
  readonly outputTopic: string
  readonly groupId: string
  /** Longest a window stays open (A2). Longer: fewer WAN bytes. */
  readonly windowAgeMsMax: number
  /** Bytes held by windows and by sets on their way, over all partitions (A3). */
  readonly foldingBytesMax: number
  /** Bytes waiting for one output partition; beyond it its input is not read. */
  readonly queuedBytesMax: number
  readonly fetchBytesMax: number
  readonly fetchPartitionBytesMax: number
  readonly fetchWaitMsMax: number
  /** Times a damaged record is read again before it is passed over. */
  readonly damagedReadsMax: number
  readonly backOffMsMin: number
  readonly backOffMsMax: number
}
