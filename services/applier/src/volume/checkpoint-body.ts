import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { assert, type Fault, MiB } from '@blockferry/runtime'
import type { DiskDescriptor, JudgeContext, Lineage, Position } from '@blockferry/disk-stream'
import type { Lsn } from '@blockferry/segment-log'
import type { ImageCut, SourceView, StreamBase } from '../disk/disk.ts'
import { applierFault } from '../faults.ts'
import type { ImageIdentity } from '../ports.ts'

/** 2: with `source`. */
const formatVersion = 2
const formatVersionMin = 1
/** Unpacked. What would not be read back is not written: bounds memory at both ends. */
const bodyBytesMax = 64 * MiB

/** One disk's line of the checkpoint. Everything here is already true on disk when it is written. */
export interface CheckpointDisk {
  readonly diskId: string
  /** Kept, so that the journal can be applied while Kafka B is away. */
  readonly descriptor: DiskDescriptor | null
  readonly owner: JudgeContext['descriptor']
  /** What the image holds: a prefix through here, unless `writingThrough` says that more was begun. */
  readonly applied: Lineage
  readonly writingThrough: Position | null
  readonly resyncing: boolean
  readonly appliedCapturedAtMs: number | null
  readonly openableAsOfMs: number | null
  readonly cut: ImageCut | null
  readonly identity: ImageIdentity | null
  /** Frames of this disk below are in the image. */
  readonly replayFrom: Lsn
  /** Stamps seen by heartbeats too (T5): a reverted source is told by them. */
  readonly stamps: Lineage['stamps']
  readonly kafkaPartition: number | null
  /** Kafka offset of the newest set in `applied`. */
  readonly appliedKafkaOffset: bigint | null
  /** First record of this disk left in Kafka B. */
  readonly parkedFrom: bigint | null
  readonly base: StreamBase | null
  /** The newest heartbeat, with the skew it told: after a restart with a dead source the age goes on from there. */
  readonly source: RememberedSource | null
}

/** Monotonic time is this process's own. */
export type RememberedSource = Omit<SourceView, 'arrivedMonotonicMs'>

export interface CheckpointBody {
  /** Topic id of the mirrored updates: offsets mean nothing in another topic of the same name. */
  readonly topicId: string | null
  /** Next Kafka offset to read, by partition. */
  readonly cursors: ReadonlyMap<number, bigint>
  readonly replayFrom: Lsn
  readonly disks: readonly CheckpointDisk[]
}

export const emptyCheckpoint: CheckpointBody = { topicId: null, cursors: new Map(), replayFrom: 0, disks: [] }

export function checkpointTooLarge(found: {
  readonly bytes: number
  readonly bytesMax: number
  readonly disks: number
}): Fault {
  const message = `the checkpoint of ${found.disks} disks takes ${found.bytes} bytes, and ${found.bytesMax} fit`
  return applierFault('CHECKPOINT_TOO_LARGE', message, { details: found })
}

/** Kafka offsets are bigints and travel as `{"kafkaOffset": "…"}`. */
function replaceBigint(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? { kafkaOffset: value.toString() } : value
}

function reviveBigint(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('kafkaOffset' in value)) return value
  const { kafkaOffset } = value
  return typeof kafkaOffset === 'string' && Object.keys(value).length === 1 ? BigInt(kafkaOffset) : value
}

/** Packed JSON: the slots carry the checksum. Fault: CHECKPOINT_TOO_LARGE. */
export function encodeCheckpoint(body: CheckpointBody): Buffer {
  const { topicId, cursors, replayFrom, disks } = body
  const plain = { formatVersion, topicId, cursors: [...cursors], replayFrom, disks }
  const bytes = Buffer.from(JSON.stringify(plain, replaceBigint), 'utf8')
  if (bytes.length > bodyBytesMax)
    throw checkpointTooLarge({ bytes: bytes.length, bytesMax: bodyBytesMax, disks: disks.length })
  return zstdCompressSync(bytes)
}

export function decodeCheckpoint(record: Buffer): CheckpointBody {
  const json = zstdDecompressSync(record, { maxOutputLength: bodyBytesMax }).toString('utf8')
  const plain = JSON.parse(json, reviveBigint) as {
    formatVersion: number
    topicId: string | null
    cursors: [number, bigint][]
    replayFrom: Lsn
    disks: CheckpointDisk[]
  }
  const version = plain.formatVersion
  assert(
    version >= formatVersionMin && version <= formatVersion,
    'the checkpoint is of a known format version',
  )
  const { topicId, replayFrom } = plain
  const disks = version < 2 ? plain.disks.map((line) => ({ ...line, source: null })) : plain.disks
  return { topicId, cursors: new Map(plain.cursors), replayFrom, disks }
}
