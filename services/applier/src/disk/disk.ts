import {
  type ClockSkew,
  type DiskDescriptor,
  emptyLineage,
  type HeartbeatDisk,
  type JudgeContext,
  type Lineage,
  type Position,
} from '@blockferry/disk-stream'
import { DelayWindow } from '../lag/delay-window.ts'
import { SourcePace } from '../lag/source-pace.ts'
import type { ImageIdentity, OpenImage } from '../ports.ts'
import { type Halt, type HaltOrigin, haltOrigins } from './halt.ts'
import { PendingFrames } from './pending-frame.ts'

/** What the newest heartbeat said of a disk, and when it came. */
export interface SourceView {
  readonly agentId: string
  readonly disk: HeartbeatDisk
  readonly stampCounter: number
  /** Source wall time, ms. */
  readonly sourceTimeMs: number
  /** Target wall time of its arrival, ms. */
  readonly arrivedAtMs: number
  readonly arrivedMonotonicMs: number
  readonly clockSkew: ClockSkew | null
}

/** Why a disk's records are left in Kafka B for now. */
export type ParkReason = 'share' | 'owner' | 'descriptor' | 'reread' | 'undecodable' | 'copying'

export interface Parked {
  readonly reason: ParkReason
  readonly kafkaPartition: number
  /** The first record left: reading goes on here. */
  fromKafkaOffset: bigint
  readonly sinceMs: number
  /** Captured time of the first set left, where known. */
  readonly oldestCapturedAtMs: number | null
  /** True while the catch-up reads this disk's records, behind the main cursor. */
  catchingUp: boolean
}

/** Where the kept stream of the newest full generation begins (R9). */
export interface StreamBase {
  /** Number of that generation. */
  readonly generation: number
  readonly topicId: string
  readonly kafkaPartition: number
  readonly kafkaOffset: bigint
}

/** The cut at which a grouped image stands (R3). */
export interface ImageCut {
  readonly cutId: string
  readonly wallTimeMs: number
}

/**
 * Everything the applier knows of one disk. Invariants:
 *
 * D1  `received` is what the redo journal durably holds: it never runs ahead of an fdatasync (R1).
 * D2  `applied` plus `frames`, in order, is `received`.
 * D3  While `writingThrough` is set the image may hold part of what lies between `applied` and there:
 *     it is a prefix again only once everything through that position was applied.
 */
export class Disk {
  readonly diskId: string
  descriptor: DiskDescriptor | null = null
  /** The newest owner known from descriptors and ownership records (K5). */
  owner: JudgeContext['descriptor'] = null
  /** Monotonic: when `owner` last changed. */
  ownerChangedMs: number | null = null

  received: Lineage = emptyLineage
  readonly frames = new PendingFrames()
  /** Kafka offset of the newest set in `received`. */
  acceptedKafkaOffset: bigint | null = null
  kafkaPartition: number | null = null
  parked: Parked | null = null

  applied: Lineage = emptyLineage
  /** Kafka offset of the newest set in `applied`. */
  appliedKafkaOffset: bigint | null = null
  writingThrough: Position | null = null
  /** The image was found or left in the middle of an apply. */
  torn = false
  /** The image is between the start of a resync and its `resync done`. */
  resyncing = false
  /** Captured time of the newest set in the image. */
  appliedCapturedAtMs: number | null = null
  cut: ImageCut | null = null
  base: StreamBase | null = null
  /** Durable with the next checkpoint: source time of the newest position that could be opened. */
  openableAsOfMs: number | null = null

  /** A batch of this disk's unit is under way. */
  applying = false
  /** Its journal frames are being copied forward: nothing is added and nothing applied meanwhile. */
  copying = false

  image: OpenImage | null = null
  identity: ImageIdentity | null = null

  source: SourceView | null = null
  readonly pace = new SourcePace()
  readonly delays = new DelayWindow()
  readonly #halts = new Map<HaltOrigin, Halt>()

  /** Moving average, for estimates of what is under way. */
  bytesPerEvent = 0

  constructor(diskId: string) {
    this.diskId = diskId
  }

  get groupId(): string | null {
    return this.descriptor?.groupId ?? null
  }

  /** The halt that is shown: the one nearest to the data wins. */
  get halt(): Halt | null {
    for (const origin of haltOrigins) {
      const halt = this.#halts.get(origin)
      if (halt !== undefined) return halt
    }
    return null
  }

  noteBytes(rawBytes: number, events: number): void {
    if (events <= 0) return
    const average = rawBytes / events
    this.bytesPerEvent = this.bytesPerEvent === 0 ? average : this.bytesPerEvent * 0.9 + average * 0.1
  }

  haltedBy(origin: HaltOrigin): Halt | null {
    return this.#halts.get(origin) ?? null
  }

  /** True when this changed what is shown. */
  raise(origin: HaltOrigin, halt: Halt): boolean {
    const before = this.#halts.get(origin)
    this.#halts.set(origin, halt)
    return before?.code !== halt.code
  }

  clear(origin: HaltOrigin): boolean {
    return this.#halts.delete(origin)
  }
}
