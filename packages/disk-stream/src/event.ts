import { KiB, MiB } from '@blockferry/runtime'

/** Longest data event (S4); a larger write is split and numbered in one tick. */
export const writeBytesMax = 256 * KiB
/** Longest zero event (S4). */
export const zeroBytesMax = 64 * MiB
/** Most extents in one digest event (S3). */
export const digestExtentsMax = 16

/** A run of bytes of a disk. */
export interface Extent {
  readonly byteOffset: number
  readonly byteLength: number
}

interface Timed {
  /** Source time, ms since the epoch, monotonic-anchored: never decreases within a generation (S3). */
  readonly capturedAtMs: number
}

export interface WriteEvent extends Timed, Extent {
  readonly kind: 'write'
  /** CRC-32 of this event's own data. */
  readonly dataCrc: number
}

export interface ZeroEvent extends Timed, Extent {
  readonly kind: 'zero'
  readonly mayUnmap: boolean
}

/** A cut of a group at one instant (S6). */
export interface RecoveryPointEvent extends Timed {
  readonly kind: 'recoveryPoint'
  /** Random per attempt: 32 lower-case hex digits. */
  readonly cutId: string
  /** Null for a disk alone. */
  readonly groupId: string | null
  /** Disk ids of every member, sorted; for a disk alone, itself. */
  readonly members: readonly string[]
  readonly name: string | null
  readonly requestId: string | null
  /** Wall time of the cut at the source, ms since the epoch. */
  readonly wallTimeMs: number
}

export interface ResyncDoneEvent extends Timed {
  readonly kind: 'resyncDone'
}

export interface DigestEvent extends Timed {
  readonly kind: 'digest'
  readonly extents: readonly (Extent & { readonly sha256: string })[]
}

/** The disk has another size from here on. */
export interface GeometryEvent extends Timed {
  readonly kind: 'geometry'
  readonly sizeBytes: number
}

/** One entry of a disk's stream (S3). Its sequence is its place: firstSequence of its group + index. */
export type StreamEvent =
  | WriteEvent
  | ZeroEvent
  | RecoveryPointEvent
  | ResyncDoneEvent
  | DigestEvent
  | GeometryEvent

/** Events other than writes and zeroes: each ends its group (A2) and stands alone at its set's end. */
export type MarkEvent = RecoveryPointEvent | ResyncDoneEvent | DigestEvent | GeometryEvent

export function isMark(event: StreamEvent): event is MarkEvent {
  return event.kind !== 'write' && event.kind !== 'zero'
}
