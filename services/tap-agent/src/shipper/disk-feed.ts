/*
 * Reads one disk's spool and makes WriteGroups of it (T3, S8's encoding).
 *
 * Invariant G1: groups follow each other without a gap within a generation, chains included; a spool that
 * does not say so is corrupt.
 * Invariant G2: a group holds events of one generation, at most 1 MiB of data, and a mark only as its last.
 * Invariant G3: what lies behind `acknowledged` was acknowledged by Kafka A; after any error the feed goes on
 * right after it.
 * Invariant G4: one operation uses the reader at a time; closing waits for it, and nothing is read afterwards.
 * Invariant G5: what lies before a jump is not read again unless a re-send asks for it, and nothing after it goes
 * before a generation begins: the one that was jumped over has a hole there.
 */
import { crc32 } from 'node:zlib'
import {
  advanceChain,
  type Generation,
  isMark,
  type Position,
  type StreamEvent,
  writeGroupBytesMax,
} from '@blockferry/disk-stream'
import { codeOf } from '@blockferry/runtime'
import type { Frame, Lsn, SegmentLogReader } from '@blockferry/segment-log'
import { encodeWriteGroup } from '@blockferry/schemas'
import type { ShipHint } from '../disk/control-record.ts'
import { fault } from '../error-catalogue.ts'
import { createFrameDecoder, type SpoolFrame } from '../spool/frame.ts'
import { findResendStart } from './resend-search.ts'
import type { SpoolSource } from './shipper-ports.ts'

/** Events of one group, so that its header stays small. */
export const groupEventsMax = 4096

/** A group as it goes to Kafka, and where the feed stands once it is acknowledged. */
export interface FedGroup {
  readonly diskId: string
  readonly value: Buffer
  readonly end: ShipHint
  readonly events: number
  readonly payloadBytes: number
}

interface Carry {
  readonly lsn: Lsn
  readonly nextLsn: Lsn
  readonly frame: SpoolFrame
  /** Events of the frame that are behind. */
  taken: number
  /** Bytes of its payload that are behind. */
  takenBytes: number
  chain: number
}

/** A group being filled. */
interface Draft {
  readonly generation: Generation
  readonly firstSequence: number
  readonly chainBefore: number
  readonly events: StreamEvent[]
  payloadBytes: number
  chain: number
}

export class DiskFeed {
  readonly diskId: string
  readonly #spool: SpoolSource
  readonly #decoder = createFrameDecoder()
  readonly #scratch: Buffer
  #reader: SegmentLogReader | null = null
  #nextLsn: Lsn
  #carry: Carry | null = null
  /** End of the last group made: the next must begin here (G1). Null until the first. */
  #madeThrough: Position | null
  #skipThrough: Position | null
  #resend = false
  /** Where a re-send begins of which nothing was acknowledged yet: a failed produce must not forget it. */
  #resendPoint: { readonly generation: number; readonly fromSequence: number } | null = null
  #acknowledged: ShipHint | null
  #oldestMadeAtMs: number | null = null
  /** Where the last jump led (G5). */
  #jumpedTo: Lsn = 0
  #awaitsGeneration = false
  #lastUse: Promise<unknown> = Promise.resolve()
  #closed = false

  /** `scratch` holds one group's data; feeds of one lane share it, for they are asked one after another. */
  constructor(options: {
    readonly diskId: string
    readonly spool: SpoolSource
    readonly scratch: Buffer
    readonly hint: ShipHint | null
    readonly firstLsn: Lsn
  }) {
    this.diskId = options.diskId
    this.#spool = options.spool
    this.#scratch = options.scratch
    this.#acknowledged = options.hint
    this.#nextLsn = Math.max(options.firstLsn, options.hint?.lsn ?? 0)
    this.#skipThrough = options.hint?.position ?? null
    this.#madeThrough = options.hint?.position ?? null
  }

  /** The last position Kafka A acknowledged; null when none is known. */
  get acknowledged(): ShipHint | null {
    return this.#acknowledged
  }

  /** Bytes of spool between the last group made and the published end. */
  pendingBytes(): number {
    return Math.max(0, this.#spool.publishedLsn() - (this.#carry?.lsn ?? this.#nextLsn))
  }

  /** Captured time of the oldest event made into a group and not yet acknowledged; null when none is. */
  get oldestUnacknowledgedAtMs(): number | null {
    return this.#oldestMadeAtMs
  }

  confirm(end: ShipHint): void {
    this.#acknowledged = end
    this.#oldestMadeAtMs = null
    this.#resendPoint = null
  }

  /** Goes on right after what was acknowledged (G3), or begins again the re-send of which nothing was. */
  rewind(): Promise<void> {
    return this.#exclusive(async () => {
      const point = this.#resendPoint
      if (point !== null && (await this.#resendFrom(point.generation, point.fromSequence))) return
      this.#resendPoint = null
      await this.#moveTo(this.#acknowledged)
    })
  }

  /** G4. */
  #exclusive<T>(use: () => Promise<T>): Promise<T> {
    const done = this.#lastUse.then(use)
    this.#lastUse = done.then(nothing, nothing)
    return done
  }

  async #moveTo(hint: ShipHint | null): Promise<void> {
    this.#carry = null
    await this.#reader?.close()
    this.#reader = null
    this.#awaitsGeneration = (hint?.lsn ?? 0) < this.#jumpedTo
    this.#nextLsn = Math.max(await this.#spool.firstLsn(), hint?.lsn ?? 0, this.#jumpedTo)
    this.#skipThrough = hint?.position ?? null
    this.#madeThrough = hint?.position ?? null
  }

  /**
   * Moves the cursor back, so that the next group begins at `fromSequence` of the generation and is flagged
   * (T3). False when the spool no longer holds it.
   */
  resendFrom(generation: number, fromSequence: number): Promise<boolean> {
    return this.#exclusive(() => this.#resendFrom(generation, fromSequence))
  }

  async #resendFrom(generation: number, fromSequence: number): Promise<boolean> {
    const found = await findResendStart(this.#spool, { generation, fromSequence })
    if (found === null) return false
    await this.#moveTo(null)
    this.#awaitsGeneration = false
    this.#nextLsn = found.lsn
    this.#skipThrough = found.before
    this.#resend = true
    this.#resendPoint = { generation, fromSequence }
    return true
  }

  /**
   * The next group, or null at the published end. Its message is written to `into` when that is large enough:
   * the group is good until its buffer is used again.
   * @throws LOG_GONE, LOG_CORRUPT, SPOOL_FRAME_INVALID: what Kafka lacks cannot be read any more
   */
  nextGroup(into: Buffer): Promise<FedGroup | null> {
    return this.#exclusive(async () => (this.#closed ? null : this.#nextGroup(into)))
  }

  async #nextGroup(into: Buffer): Promise<FedGroup | null> {
    let draft: Draft | null = null
    for (;;) {
      const carry = this.#carry ?? (await this.#readFrame())
      if (carry === null) break
      this.#carry = carry
      if (carry.taken < carry.frame.events.length) {
        draft ??= newDraft(carry)
        if (draft.generation.id !== carry.frame.generation.id) break
        this.#checkFollows(draft, carry)
        const whole = this.#fill(draft, carry)
        if (!whole || carry.taken < carry.frame.events.length) break
      }
      this.#carry = null
      this.#nextLsn = carry.nextLsn
      if (draft !== null && endsGroup(draft)) break
    }
    return draft === null || draft.events.length === 0 ? null : this.#finish(draft, into)
  }

  async #readFrame(): Promise<Carry | null> {
    if (this.#nextLsn >= this.#spool.publishedLsn()) return null
    const read = await this.#readNext()
    if (read === null) return null
    const frame = this.#decoder.frame(read.body)
    const carry = {
      lsn: read.lsn,
      nextLsn: read.nextLsn,
      frame,
      taken: 0,
      takenBytes: 0,
      chain: frame.chainBefore,
    }
    this.#skip(carry)
    return carry
  }

  /**
   * The place to read on may lie in a segment that was deleted since, because the target has received it or because
   * the whole spool was dropped: reading goes on at the first one kept. Whether that follows is G1's to say.
   */
  async #readNext(): Promise<Frame | null> {
    this.#reader ??= this.#spool.reader(this.#nextLsn)
    try {
      return await this.#reader.next()
    } catch (error) {
      const firstLsn = await this.#spool.firstLsn()
      if (!isAboutTheLog(error) || firstLsn <= this.#nextLsn) throw error
      await this.#reader.close()
      this.#nextLsn = firstLsn
      this.#reader = this.#spool.reader(firstLsn)
      return this.#reader.next()
    }
  }

  /** Leaves out what is acknowledged already, lies before a re-send's first event, or behind a hole (G5). */
  #skip(carry: Carry): void {
    if (this.#awaitsGeneration) {
      this.#awaitsGeneration = carry.frame.firstSequence !== 1
      if (this.#awaitsGeneration) carry.taken = carry.frame.events.length
    }
    const through = this.#skipThrough
    if (through === null) return
    const { frame } = carry
    const isOlder = frame.generation.number < through.generation
    const isSame = frame.generation.number === through.generation
    for (const event of frame.events.slice(carry.taken)) {
      const sequence = frame.firstSequence + carry.taken
      if (!isOlder && !(isSame && sequence <= through.sequence)) break
      this.#advance(carry, event)
    }
    if (carry.taken < frame.events.length) this.#skipThrough = null
  }

  #advance(carry: Carry, event: StreamEvent): void {
    carry.chain = advanceChain(carry.chain, { sequence: carry.frame.firstSequence + carry.taken, event })
    carry.taken += 1
    if (event.kind === 'write') carry.takenBytes += event.byteLength
  }

  /** G1. */
  #checkFollows(draft: Draft, carry: Carry): void {
    const sequence = carry.frame.firstSequence + carry.taken
    const expected = draft.firstSequence + draft.events.length
    const made = this.#madeThrough
    const continues =
      draft.events.length > 0 || this.#resend || made === null || made.generationId !== draft.generation.id
        ? sequence === expected && carry.chain === draft.chain
        : sequence === made.sequence + 1 && carry.chain === made.chain
    if (continues) return
    const details = { diskId: this.diskId, lsn: carry.lsn, sequence, expected }
    throw fault('SPOOL_CORRUPT', `the spool of ${this.diskId} does not continue at ${carry.lsn}`, { details })
  }

  /** Takes events until the group or the frame ends; false when the group is full (G2). */
  #fill(draft: Draft, carry: Carry): boolean {
    while (carry.taken < carry.frame.events.length) {
      const event = carry.frame.events[carry.taken]
      if (event === undefined) break
      if (draft.events.length >= groupEventsMax) return false
      if (event.kind === 'write') {
        if (draft.payloadBytes + event.byteLength > writeGroupBytesMax) return false
        this.#takeData(draft, carry, event)
      }
      this.#advance(carry, event)
      draft.events.push(event)
      draft.chain = carry.chain
      if (isMark(event)) return false
    }
    return true
  }

  /** Checks the data against its own CRC: what rotted in memory must not leave (style: pair assertions). */
  #takeData(draft: Draft, carry: Carry, event: StreamEvent & { readonly kind: 'write' }): void {
    const data = carry.frame.payload.subarray(carry.takenBytes, carry.takenBytes + event.byteLength)
    if (data.length !== event.byteLength || crc32(data) !== event.dataCrc) {
      throw fault('SPOOL_CORRUPT', `data in the spool of ${this.diskId} fails its checksum at ${carry.lsn}`)
    }
    data.copy(this.#scratch, draft.payloadBytes)
    draft.payloadBytes += event.byteLength
  }

  #finish(draft: Draft, into: Buffer): FedGroup {
    const payload = this.#scratch.subarray(0, draft.payloadBytes)
    const resend = this.#resend
    this.#resend = false
    const group = {
      diskId: this.diskId,
      generation: draft.generation,
      resend,
      firstSequence: draft.firstSequence,
      chainBefore: draft.chainBefore,
      chainAfter: draft.chain,
      events: draft.events,
      payloadCrc: crc32(payload),
      payload,
    }
    const value = encodeWriteGroup(group, { into, payloadCrcIsFresh: true })
    const position: Position = {
      generation: draft.generation.number,
      generationId: draft.generation.id,
      sequence: draft.firstSequence + draft.events.length - 1,
      chain: draft.chain,
    }
    this.#madeThrough = position
    this.#oldestMadeAtMs ??= draft.events[0]?.capturedAtMs ?? null
    this.#dropSpentCarry()
    const end = { position, lsn: this.#carry?.lsn ?? this.#nextLsn }
    return { diskId: this.diskId, value, end, events: draft.events.length, payloadBytes: draft.payloadBytes }
  }

  #dropSpentCarry(): void {
    const carry = this.#carry
    if (carry === null || carry.taken < carry.frame.events.length) return
    this.#carry = null
    this.#nextLsn = carry.nextLsn
  }

  /** Leaves behind what cannot be read (G5), and says up to where. */
  jumpToEnd(): Promise<Lsn> {
    return this.#exclusive(async () => {
      this.#jumpedTo = this.#spool.publishedLsn()
      this.#resend = false
      this.#resendPoint = null
      this.#oldestMadeAtMs = null
      await this.#moveTo(null)
      return this.#jumpedTo
    })
  }

  close(): Promise<void> {
    this.#closed = true
    return this.#exclusive(async () => {
      await this.#reader?.close()
      this.#reader = null
    })
  }
}

function nothing(): void {
  // The next use of the reader begins whatever became of this one; its own caller hears of its failure.
}

/** A reader in the middle of a log that was dropped sees its place gone, or zeroes where the log went on. */
function isAboutTheLog(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'LOG_GONE' || code === 'LOG_CORRUPT'
}

function newDraft(carry: Carry): Draft {
  return {
    generation: carry.frame.generation,
    firstSequence: carry.frame.firstSequence + carry.taken,
    chainBefore: carry.chain,
    events: [],
    payloadBytes: 0,
    chain: carry.chain,
  }
}

function endsGroup(draft: Draft): boolean {
  const last = draft.events.at(-1)
  return last !== undefined && isMark(last)
}
