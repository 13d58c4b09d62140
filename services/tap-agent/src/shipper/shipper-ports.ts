import type { ClockSkew, Position } from '@blockferry/disk-stream'
import type { Clock, Random } from '@blockferry/runtime'
import type { ReplicationLog } from '@blockferry/replication-log'
import type { Lsn, SegmentLogReader } from '@blockferry/segment-log'
import type { ShipHint } from '../disk/control-record.ts'
import type { ResyncRequest } from '../disk/disk-ports.ts'

/** A disk's spool, read while another thread writes it. */
export interface SpoolSource {
  firstLsn(): Promise<Lsn>
  /** How far may be read now. */
  publishedLsn(): Lsn
  /** A reader from a frame's start; `next` throws LOG_GONE on a deleted segment. */
  reader(lsn: Lsn): SegmentLogReader
  readonly segmentBytes: number
}

/** Rings when something was appended: a counter that only grows. */
export interface Bell {
  value(): number
  ring(): void
  /** Resolves once the counter is beyond `value`; at once when it is. */
  waitBeyond(value: number): Promise<void>
}

/** What the shipper tells the guest's thread; calls must not throw. */
export interface ShipperListener {
  shipped(diskId: string, hint: ShipHint): void
  /** Received by the target, durably; folded by maximum before it is told (K5). */
  received(diskId: string, position: Position): void
  /** Code of what keeps a partition's records away from Kafka A, null when they flow. Partition null: the link itself. */
  kafka(kafkaPartition: number | null, code: string | null): void
  /** A new generation is needed: the target asked, or what it lacks is no longer in the spool. */
  resync(diskId: string, request: ResyncRequest): void
  skew(skew: ClockSkew): void
  /** An error that was dealt with and that people want to read about. */
  trouble(error: unknown): void
}

export interface ShipperDeps {
  readonly clock: Clock
  readonly random: Random
  /** A client for Kafka of this site; called again after a thrown error. */
  readonly connect: () => Promise<ReplicationLog>
  readonly openSpool: (diskId: string) => Promise<SpoolSource>
  readonly bell: Bell
  readonly listener: ShipperListener
}

export interface ShipperOptions {
  readonly agentId: string
  readonly site: string
  readonly peerSite: string
  /** Partitions of `writes` and `updates`. */
  readonly partitions: number
  /** Most payload of one produce (K6: at most 4 MiB). */
  readonly batchBytesMax: number
  /** A small batch waits this long for company: far fewer, larger messages. */
  readonly lingerMs: number
}
