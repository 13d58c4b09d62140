import type {
  Generation,
  GenerationBase,
  GenerationReason,
  Position,
  Provisioning,
  Stamp,
} from '@blockferry/disk-stream'
import type { Clock, Random } from '@blockferry/runtime'
import type { Lsn, SegmentLog, SegmentLogRecovery } from '@blockferry/segment-log'
import type { BlockDevice, ControlSlots } from '@blockferry/storage'
import type { HostSpoolView } from '../spool/host-spool.ts'
import type { ShipHint } from './control-record.ts'

/** A disk as configured. */
export interface DiskIdentity {
  readonly diskId: string
  /** Null for a disk alone. */
  readonly groupId: string | null
  readonly provisioning: Provisioning
}

export interface SpoolLimits {
  /** Bytes of one spool segment. */
  readonly segmentBytes: number
  /** Bytes of the whole spool of one disk (T3). */
  readonly spoolBytesMax: number
}

export interface MintRequest extends DiskIdentity {
  readonly sizeBytes: number
  readonly reason: GenerationReason
  readonly base: GenerationBase
  readonly predecessor: Position | null
  /** Highest number this agent's own durable state ever saw. */
  readonly generationSeenMax: number
  /** Where the disk's stream lies, as this agent's own durable state knows it; null for a new disk (K2). */
  readonly kafkaPartition: number | null
  readonly stamp: Stamp
}

export interface Minted {
  readonly generation: Generation
  readonly kafkaPartition: number
}

/** Who may begin a generation (S2, T9): in production the shipper thread, which talks to Kafka. */
export interface StreamAuthority {
  /**
   * Mints 1 + the highest number ever seen (own state, `disks`, `site-b.disks`, `positions`) and makes its
   * ownership record and the disk's descriptor acknowledged by Kafka A before it resolves.
   * Rejects while Kafka A cannot be reached.
   */
  mint(request: MintRequest): Promise<Minted>
}

/** The spool's way to Kafka, seen from the disk. */
export interface Shipping {
  /** From now on the shipper reads this disk's spool. */
  attach(disk: {
    readonly diskId: string
    readonly kafkaPartition: number
    readonly hint: ShipHint | null
  }): void
  /** Something was appended. */
  ring(diskId: string): void
  detach(diskId: string): void
}

/** Notable events of a disk, for logs and metrics; calls must not throw. */
export interface DiskObserver {
  stateChanged?(change: {
    readonly diskId: string
    readonly state: string
    readonly code: string | null
  }): void
  /** An append completed: its time and its data bytes. */
  appended?(durationMs: number, byteLength: number): void
  readBack?(diskId: string, extents: number): void
  resyncBegan?(diskId: string, generation: Generation): void
  resyncDone?(diskId: string): void
  /** An error that was dealt with (state changed, retry scheduled) and that people want to read about. */
  trouble?(diskId: string, error: unknown): void
}

export interface TapDiskDeps {
  readonly clock: Clock
  readonly random: Random
  /** Opens and locks the source; a missing one is made only when it may be. @throws DISK_MISSING when it may not */
  readonly openDevice: (options: { readonly mayCreate: boolean }) => Promise<BlockDevice>
  /** Every frame from `scanFromLsn` on is checked when it is given, else the last segment's. */
  readonly openSpool: (
    scanFromLsn: Lsn | undefined,
  ) => Promise<{ readonly log: SegmentLog; readonly recovery: SegmentLogRecovery }>
  readonly openSlots: () => Promise<ControlSlots>
  readonly bootId: string
  /** The newest durable stamp of the state directory (T5). */
  readonly stamp: () => Stamp
  readonly authority: StreamAuthority
  /** How late this thread's event loop ran of late, ms: what SPOOL_SLOW must not blame on the volume. */
  readonly loopDelayMs?: () => number
  readonly shipping: Shipping
  /** What the spools of all disks may take of their volume; none: only each disk's own limit counts. */
  readonly hostSpool?: HostSpoolView
  readonly observer?: DiskObserver
}

export interface TapDiskOptions extends DiskIdentity, SpoolLimits {}

/** Why a disk needs a new generation; older requests than the running one are ignored. */
export interface ResyncRequest {
  readonly expectedGeneration: number
  readonly code: string
  /** Set when the spool cannot be read: what lies below is lost, unless the running generation began behind it. */
  readonly unreadableThroughLsn?: Lsn
}

/** Why everything is owed. */
export interface AheadReason {
  readonly code: string
  /** Whether it counts against converging (T7). */
  readonly counts: boolean
}

/** What the shipper reports of a disk. */
export interface ShippedReport {
  readonly position: Position
  /** End of the last frame that is wholly acknowledged. */
  readonly lsn: Lsn
}
