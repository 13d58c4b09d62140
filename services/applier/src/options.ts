import { GiB, KiB, MiB } from '@blockferry/runtime'

/** Every limit and interval of the applier's logic (G9). config.ts fills it; tests shrink it. */
export interface ApplierOptions {
  /** The site this applier stands at. */
  readonly site: string
  /** The site whose updates it applies. */
  readonly peerSite: string

  /** Longest wait of a fetch for its first byte. */
  readonly fetchWaitMsMax: number
  readonly fetchBytesMax: number
  readonly fetchPartitionBytesMax: number
  /** A fetch or a journal write that failed is tried again after this, doubling up to `retryMsMax`. */
  readonly retryMsMin: number
  readonly retryMsMax: number
  /** A partition of which nothing was read for this long shows on its disks. */
  readonly mirrorUnreadableMs: number
  /** Fetches of one record that cannot be decoded, before its disk halts. */
  readonly undecodableTriesMax: number

  readonly journalBytesMax: number
  readonly journalDiskBytesMax: number
  /** Frames of a disk that wait for the image: bounds memory where sets are small. */
  readonly journalDiskFramesMax: number
  /** Allocated journal above which the frames of disks that cannot advance are copied forward. */
  readonly journalCopyForwardBytes: number

  /** Least time between two batches of one unit (R2). */
  readonly applyIntervalMs: number
  readonly applyBytesMax: number
  /** Unpacked bytes folded and written at a time. */
  readonly applySliceBytesMax: number
  /** Units that write at the same time. */
  readonly applyUnitsMax: number
  /** Writes of one slice in flight. */
  readonly applyWritesMax: number
  /** No two writes in flight share a block of this size (R2). */
  readonly targetBlockBytes: number
  /** Packed bytes of the one checkpoint that holds every disk of the volume: about 4,096 disks at a kilobyte each. */
  readonly checkpointBytesMax: number
  /** A checkpoint is written at least this often while only the place in Kafka moves. */
  readonly idleCheckpointMs: number

  /** How long a set of a newer generation waits for the descriptor that names its owner (S9). */
  readonly ownerWaitMs: number
  /** How long what a heartbeat announces may stay away before it counts as a gap. */
  readonly overdueMs: number
  /** How long a re-send may take before a resync is asked for. */
  readonly resendDeadlineMs: number
  /** How often a resync is asked for again. */
  readonly resyncRepeatMs: number

  readonly reportIntervalMsMin: number
  readonly reportIntervalMsMax: number
  readonly recoveryPointsMax: number
  /** Heartbeats come once a second: one older than this was held up, and what was written since may wait behind it. */
  readonly heartbeatDueMs: number
  /** Older than this, a heartbeat shows its source as LATE; as SILENT when none arrived for so long. */
  readonly sourceSilentMs: number
}

export const defaultApplierOptions: ApplierOptions = {
  site: 'site-b',
  peerSite: 'site-a',
  fetchWaitMsMax: 250,
  fetchBytesMax: 16 * MiB,
  fetchPartitionBytesMax: 8 * MiB,
  retryMsMin: 100,
  retryMsMax: 5_000,
  mirrorUnreadableMs: 5_000,
  undecodableTriesMax: 3,
  journalBytesMax: 8 * GiB,
  journalDiskBytesMax: 2 * GiB,
  journalDiskFramesMax: 100_000,
  journalCopyForwardBytes: 4 * GiB,
  applyIntervalMs: 1_000,
  applyBytesMax: 256 * MiB,
  applySliceBytesMax: 24 * MiB,
  applyUnitsMax: 2,
  applyWritesMax: 8,
  targetBlockBytes: 4 * KiB,
  checkpointBytesMax: 8 * MiB,
  idleCheckpointMs: 10_000,
  ownerWaitMs: 10_000,
  overdueMs: 15_000,
  resendDeadlineMs: 30_000,
  resyncRepeatMs: 60_000,
  reportIntervalMsMin: 100,
  reportIntervalMsMax: 1_000,
  recoveryPointsMax: 60_000,
  heartbeatDueMs: 2_000,
  sourceSilentMs: 5_000,
}
