import { KiB, MiB } from '@blockferry/runtime'
import type { Extent, MarkEvent, StreamEvent } from './event.ts'
import type { Generation, Stamp } from './generation.ts'
import type { Position } from './position.ts'

/*
 * The records that cross Kafka, as the programs see them. schemas/ turns each into bytes and back;
 * nobody else knows Avro. Buffers that come out of a decoder are views into the message.
 */

/** Largest payload of one WriteGroup. */
export const writeGroupBytesMax = 1 * MiB
/** Largest payload of one UpdateSet (K7). */
export const updateSetBytesMax = 4 * MiB
/** Largest message on any topic: payload and header (K7, `max.message.bytes` is 8 MiB). */
export const messageBytesMax = 8 * MiB - 64 * KiB

/** Consecutive events of one disk, one generation (topic `writes`). */
export interface WriteGroup {
  readonly diskId: string
  readonly generation: Generation
  /** True on the first group after the shipper's cursor was moved back (T3). */
  readonly resend: boolean
  readonly firstSequence: number
  readonly chainBefore: number
  readonly chainAfter: number
  /** At least one. A mark is always the last. */
  readonly events: readonly StreamEvent[]
  /** CRC-32 of `payload`. */
  readonly payloadCrc: number
  /** The data of the write events, one after another. */
  readonly payload: Buffer
}

/** A place inside an UpdateSet at which an applier may stand: after an event folded in. */
export interface Joint {
  readonly sequence: number
  readonly chain: number
}

export type SetExtent =
  | (Extent & { readonly kind: 'data' })
  | (Extent & { readonly kind: 'zero'; readonly mayUnmap: boolean })

export type PayloadCodec = 'none' | 'zstd'

/** A contiguous window of one disk's events, folded; applied whole (topic `updates`). */
export interface UpdateSet {
  readonly diskId: string
  readonly generation: Generation
  readonly firstSequence: number
  readonly lastSequence: number
  readonly chainBefore: number
  readonly chainAfter: number
  /** The folded events, ascending; the last one is {lastSequence, chainAfter}. */
  readonly joints: readonly Joint[]
  readonly firstCapturedAtMs: number
  readonly lastCapturedAtMs: number
  /** Bytes of write data before folding. */
  readonly rawBytes: number
  /** Lowest input offset not wholly in the sets up to this record, over all disks of the partition (K4). */
  readonly resumeInputOffset: bigint
  /** The one event other than writes; always at `lastSequence`. */
  readonly mark: MarkEvent | null
  /** Disjoint, ascending. */
  readonly extents: readonly SetExtent[]
  readonly codec: PayloadCodec
  /** CRC-32 of `payload` as it stands here (compressed when `codec` says so). */
  readonly payloadCrc: number
  /** The data extents' bytes, in extent order, packed with `codec`. */
  readonly payload: Buffer
}

/** Tap states (T7). FENCED, UNPAIRED, UNPROTECTED come with the survival issue. */
export const tapStates = ['STREAMING', 'SPOOLING', 'RESYNCING', 'AHEAD', 'FAILED'] as const
export type TapState = (typeof tapStates)[number]

export interface ClockSkew {
  /** Target wall clock − source wall clock, ms. */
  readonly estimateMs: number
  /** Half the round trip: the true skew lies within ± this. */
  readonly errorMs: number
}

export interface SyncProgress {
  readonly phase: 'full-sync' | 'resync'
  readonly doneBytes: number
  readonly totalBytes: number
  readonly etaMs: number | null
}

/** One disk's line in a heartbeat. */
export interface HeartbeatDisk {
  readonly diskId: string
  readonly state: TapState
  /** Code of the trouble behind a state other than STREAMING or RESYNCING; null when none. */
  readonly code: string | null
  /** Null until a generation was minted. */
  readonly position: Position | null
  /** Source time up to which the stream holds everything; frozen in AHEAD and RESYNCING (T7). */
  readonly consistentAsOfMs: number | null
  /** Numbered but not yet acknowledged by Kafka A. */
  readonly spooledEvents: number
  readonly spooledBytes: number
  /** Captured time of the oldest such event; null when none. */
  readonly oldestSpooledAtMs: number | null
  readonly progress: SyncProgress | null
}

/** Once a second to each partition that has a disk of the agent; topics `writes` and `updates`. */
export interface Heartbeat {
  readonly agentId: string
  readonly site: string
  /** Wall time of the source when sent, ms. */
  readonly sourceTimeMs: number
  readonly stamp: Stamp
  /** Null until the target's echo came back. */
  readonly clockSkew: ClockSkew | null
  readonly disks: readonly HeartbeatDisk[]
  /** Set by the aggregator (K4); null in `writes`. */
  readonly resumeInputOffset: bigint | null
}

export const provisionings = ['thin', 'thick-lazy', 'thick-eager'] as const
export type Provisioning = (typeof provisionings)[number]

/** Topic `disks`, key = disk id. */
export interface DiskDescriptor {
  readonly diskId: string
  readonly formatVersion: number
  readonly sizeBytes: number
  readonly provisioning: Provisioning
  readonly groupId: string | null
  /** Chosen once (K2), never recomputed. */
  readonly kafkaPartition: number
  readonly ownerSite: string
  /** The newest generation its owner minted. */
  readonly generation: number
  readonly generationId: string
}

/** Topic `disks`, key = disk/number/id: who owns a generation. Folded by maximum (K5). */
export interface Ownership {
  readonly diskId: string
  readonly generation: Generation
}

/** Applier states (R6). PAUSED and DEGRADED come with the survival issue. */
export const applierStates = ['WAITING', 'RESYNCING', 'CONSISTENT', 'RECOVERING', 'HALTED'] as const
export type ApplierState = (typeof applierStates)[number]

/** Topic `positions`, key = disk id: how far the target is. Folded by position (K5). */
export interface PositionReport {
  readonly diskId: string
  readonly site: string
  readonly state: ApplierState
  readonly code: string | null
  /** End of the redo journal: durable at the target. Null before the first set. */
  readonly received: Position | null
  /** In the image. */
  readonly applied: Position | null
  readonly reportedAtMs: number
  /** Echo of the newest heartbeat (clock estimate): its source time and the target time of its arrival. */
  readonly echo: { readonly sourceTimeMs: number; readonly arrivedAtMs: number } | null
}

export const requestKinds = ['resend', 'resync'] as const
export type RequestKind = (typeof requestKinds)[number]

/** Topic `requests`: what the target asks of the source; idempotent by id. */
export interface StreamRequest {
  readonly requestId: string
  readonly kind: RequestKind
  readonly diskId: string
  /** The generation the asker stands in; a tap that has since minted a newer resync ignores the request. */
  readonly expectedGeneration: number
  /** resend: first sequence wanted. */
  readonly fromSequence: number
  readonly reason: string
  readonly createdAtMs: number
  readonly expiresAtMs: number
}
