import type { Clock, Random } from '@blockferry/runtime'
import type { UpdateSet } from '@blockferry/disk-stream'
import type { ReplicationLog, TopicSpec } from '@blockferry/replication-log'
import type { Lsn, SegmentLog, SegmentLogRecovery } from '@blockferry/segment-log'
import type { BlockDevice, ControlSlots } from '@blockferry/storage'

/*
 * What the applier's logic needs of the outside. Production passes files and Kafka (app.ts), simulation
 * passes memory: nothing in the logic knows which.
 */

/** An opened segment log and what opening found. */
export interface OpenedLog {
  readonly log: SegmentLog
  readonly recovery: SegmentLogRecovery
}

export interface LogPlace {
  /** Everything from here on is checked frame by frame: below, it was read back or is no longer needed. */
  readonly scanFrom: Lsn
  /** A new log begins no earlier, so that LSNs of one that was lost stay unique. */
  readonly createAtLsn: Lsn
}

/** Which file an image is. Kept in the checkpoint; image and checkpoint belong together (R4). */
export interface ImageIdentity {
  /** Random, written beside the image when it was taken into use. */
  readonly imageId: string
  /** Device and inode, as the file system names the file. */
  readonly fileId: string
}

export interface OpenImage extends AsyncDisposable {
  readonly device: BlockDevice
  readonly identity: ImageIdentity
  /** For people: where the image is. */
  readonly path: string
}

export interface OpenImageRequest {
  readonly diskId: string
  readonly sizeBytes: number
  /** What the checkpoint says; null when it says nothing: only then may an image be created. */
  readonly expected: ImageIdentity | null
}

/**
 * The target storage (R4). `open` locks the image exclusively and refuses, without writing, what is not
 * this disk's image: faults IMAGE_*, TARGET_*.
 */
export interface TargetImages {
  /** Where a disk's image is or would be, for people; null when no target is configured. */
  pathOf(diskId: string): string | null
  open(request: OpenImageRequest): Promise<OpenImage>
}

export interface LogFields {
  readonly [name: string]: unknown
}

export interface ApplierLogger {
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
}

/** Unpacks a set's payload, off the main thread where there are threads. Fault: PAYLOAD_UNPACK. */
export type Unpack = (set: Pick<UpdateSet, 'diskId' | 'codec' | 'extents' | 'payload'>) => Promise<Buffer>

export interface ApplierDeps {
  readonly clock: Clock
  readonly random: Random
  /** A new client of Kafka B; another one is made when one cannot go on. */
  readonly connectLog: () => Promise<ReplicationLog>
  /** The topics of this site: created where missing, compared where not (K3). */
  readonly topics: readonly TopicSpec[]
  /** Opens (again, after a failure) the volume's redo journal. The one before was closed. */
  readonly openJournal: (place: LogPlace) => Promise<OpenedLog>
  /** Opens the log behind the recovery point index. */
  readonly openIndex: (place: LogPlace) => Promise<OpenedLog>
  /** The checkpoint's two slots (R2). */
  readonly openCheckpoint: () => Promise<ControlSlots>
  readonly targets: TargetImages
  readonly unpack: Unpack
  readonly logger: ApplierLogger
}
