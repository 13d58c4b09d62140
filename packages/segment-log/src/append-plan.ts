import { assert } from '@blockferry/runtime'
import {
  FrameFlag,
  frameBodyBytesMax,
  frameBytes,
  frameHeaderBytes,
  sealFrame,
  writeFrameHeader,
} from './frame.ts'
import type { Lsn } from './segment-log.ts'
import {
  encodeSegmentHeader,
  firstFrameLsn,
  segmentHeaderBytes,
  segmentStartOf,
  settleLsn,
} from './segment-header.ts'

/** What goes into one segment, in one write. */
export interface AppendPiece {
  readonly segmentStart: Lsn
  /** Whether the segment has to be created first; its header is then part of the data. */
  readonly createsSegment: boolean
  readonly position: number
  readonly data: Buffer[]
  byteLength: number
}

export interface AppendPlan {
  readonly lsns: Lsn[]
  readonly pieces: AppendPiece[]
  /** End of the last frame: appendedThrough when all is written. */
  end: Lsn
}

export interface LogIdentity {
  readonly segmentBytes: number
  readonly logId: Buffer
  readonly crcSeed: number
}

/** Header and up to 7 bytes of padding of the frame before it lie together, to be one buffer of the write. */
const slotBytes = frameHeaderBytes + 8

/**
 * Lays appends out over segments. Headers live in one buffer that the next plan reuses: one plan at a
 * time is in use, because one append at a time is outstanding.
 */
export class AppendPlanner {
  readonly #identity: LogIdentity
  #headers = Buffer.alloc(64 * slotBytes)
  #headersUsed = 0

  constructor(identity: LogIdentity) {
    this.#identity = identity
  }

  /** Longest body that fits a frame of this log. */
  get bodyBytesMax(): number {
    return Math.min(frameBodyBytesMax, this.#identity.segmentBytes - segmentHeaderBytes - frameHeaderBytes)
  }

  /** The frames of `bodies` from `appendedThrough` on; the last one commits them all (F3). */
  plan(bodies: readonly (readonly Buffer[])[], from: { appendedThrough: Lsn; attempt: number }): AppendPlan {
    this.#reserveHeaders(bodies.length)
    const plan: AppendPlan = { lsns: [], pieces: [], end: from.appendedThrough }
    const { segmentBytes } = this.#identity
    let padding = 0
    for (const [index, body] of bodies.entries()) {
      const bodyBytes = lengthOf(body)
      assert(bodyBytes <= this.bodyBytesMax, 'a body fits a frame')
      const lsn = settleLsn(plan.end, segmentBytes)
      const segmentEnd = segmentStartOf(lsn, segmentBytes) + segmentBytes
      const fits = lsn + frameBytes(bodyBytes) <= segmentEnd
      if (!fits) padding = this.#endSegment(plan, { lsn, attempt: from.attempt, padding })
      const flags = index === bodies.length - 1 ? FrameFlag.commits : FrameFlag.none
      const at = fits ? lsn : firstFrameLsn(segmentEnd)
      padding = this.#addFrame(plan, { lsn: at, attempt: from.attempt, flags, bodyBytes }, { body, padding })
      plan.lsns.push(at)
    }
    addPadding(plan, padding)
    return plan
  }

  #endSegment(plan: AppendPlan, end: { lsn: Lsn; attempt: number; padding: number }): number {
    const facts = { lsn: end.lsn, attempt: end.attempt, flags: FrameFlag.ends, bodyBytes: 0 }
    return this.#addFrame(plan, facts, { body: [], padding: end.padding })
  }

  /** Adds a frame; returns the padding it still lacks, which goes into the buffer of the next header. */
  #addFrame(
    plan: AppendPlan,
    facts: { lsn: Lsn; attempt: number; flags: number; bodyBytes: number },
    content: { body: readonly Buffer[]; padding: number },
  ): number {
    const { piece, paddingLeft } = this.#pieceFor(plan, facts.lsn, content.padding)
    const slot = this.#takeSlot(paddingLeft)
    const header = paddingLeft === 0 ? slot : slot.subarray(paddingLeft)
    writeFrameHeader(header, facts)
    sealFrame(header, content.body, this.#identity.crcSeed)
    piece.data.push(slot, ...content.body)
    piece.byteLength += slot.length + facts.bodyBytes
    const byteLength = frameBytes(facts.bodyBytes)
    plan.end = facts.lsn + byteLength
    return byteLength - frameHeaderBytes - facts.bodyBytes
  }

  /** The piece a frame at `lsn` belongs to; a piece of another segment is completed with its padding first. */
  #pieceFor(plan: AppendPlan, lsn: Lsn, padding: number): { piece: AppendPiece; paddingLeft: number } {
    const last = plan.pieces.at(-1)
    const segmentStart = segmentStartOf(lsn, this.#identity.segmentBytes)
    if (last?.segmentStart === segmentStart) return { piece: last, paddingLeft: padding }
    addPadding(plan, padding)
    const piece = this.#newPiece(lsn, segmentStart)
    plan.pieces.push(piece)
    return { piece, paddingLeft: 0 }
  }

  #newPiece(lsn: Lsn, segmentStart: Lsn): AppendPiece {
    // The first segment is created when the log is opened, with nothing in it: its first frame, too,
    // lies where a new segment's would. The log tells the two apart by the segments it has.
    const createsSegment = lsn === firstFrameLsn(segmentStart)
    if (!createsSegment)
      return { segmentStart, createsSegment, position: lsn - segmentStart, data: [], byteLength: 0 }
    const { segmentBytes, logId } = this.#identity
    const header = encodeSegmentHeader({ startLsn: segmentStart, segmentBytes, logId })
    return { segmentStart, createsSegment, position: 0, data: [header], byteLength: header.length }
  }

  #takeSlot(padding: number): Buffer {
    const start = this.#headersUsed
    this.#headersUsed += slotBytes
    const slot = this.#headers.subarray(start, start + padding + frameHeaderBytes)
    if (padding > 0) slot.fill(0, 0, padding)
    return slot
  }

  /** Every frame may be preceded by the end of a segment. */
  #reserveHeaders(frames: number): void {
    const needed = frames * 2 * slotBytes
    if (needed > this.#headers.length) this.#headers = Buffer.alloc(needed)
    this.#headersUsed = 0
  }
}

const zeroPadding = Buffer.alloc(8)

function addPadding(plan: AppendPlan, padding: number): void {
  const last = plan.pieces.at(-1)
  if (padding === 0 || last === undefined) return
  last.data.push(zeroPadding.subarray(0, padding))
  last.byteLength += padding
}

function lengthOf(body: readonly Buffer[]): number {
  let total = 0
  for (const part of body) total += part.length
  return total
}
