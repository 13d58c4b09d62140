/*
 * Invariant W1: `appendedThrough` moves, and is published, only when every byte of an append is written;
 *   frames below it never change.
 * Invariant W2: after a failed append nothing but zeroes lies beyond `appendedThrough` before the next
 *   append writes there. If even the zeroing fails (`cutFailed` in the fault's details), it is tried
 *   again first. F2 and F3 keep what is left meanwhile from being taken for part of the log, with one
 *   exception: an append that had landed whole and failed all the same is there again when the process
 *   dies before the zeroing succeeds, or the host loses power before the zeroing was synced.
 * Invariant W3: `durableThrough` moves only after fdatasync of every segment below it, and fsync of the
 *   directory when one of them is new; never again after one of these failed, for the kernel then
 *   takes lost pages for clean ones. Only a restart, which drops those bytes, begins anew.
 */

import { assert, codeOf } from '@blockferry/runtime'
import type { AppendPlan, LogIdentity } from './append-plan.ts'
import { AppendPlanner } from './append-plan.ts'
import { fault } from './error-catalogue.ts'
import { FrameReader } from './frame-reader.ts'
import type { ReadySegments } from './open-segments.ts'
import type { PublishedLength } from './published-length.ts'
import type { SegmentFiles } from './segment-files.ts'
import { encodeSegmentHeader, firstFrameLsn } from './segment-header.ts'
import type { Lsn, SegmentLog, SegmentLogReader } from './segment-log.ts'
import type { Segment } from './segments.ts'
import { Segments } from './segments.ts'
import { SyncQueue } from './sync-queue.ts'

export interface WriterOptions {
  readonly files: SegmentFiles
  readonly bytesMax: number
  readonly published: PublishedLength
}

/** What a failed append left on disk and has to go before the next one (W2). */
interface Leftover {
  readonly zeroFrom: number
  readonly zeroBytes: number
  readonly created: readonly Segment[]
}

export class SegmentLogWriter implements SegmentLog {
  readonly #options: WriterOptions
  readonly #identity: LogIdentity
  readonly #planner: AppendPlanner
  readonly #segments: Segments
  readonly #syncs = new SyncQueue(() => this.#syncNow())
  #appendedThrough: Lsn
  #durableThrough: Lsn
  #nextAttempt: number
  #appending = false
  #namesDirty = true
  #syncFailure: unknown
  #leftover: Leftover | null = null
  #closed = false

  /** Opens the segment the log ends in and publishes how far it may be read. */
  static async open(options: WriterOptions, ready: ReadySegments): Promise<SegmentLogWriter> {
    const writer = new SegmentLogWriter(options, ready)
    await writer.#segments.openLast()
    options.published.store(ready.end)
    return writer
  }

  private constructor(options: WriterOptions, ready: ReadySegments) {
    this.#options = options
    this.#identity = ready
    this.#planner = new AppendPlanner(ready)
    this.#segments = new Segments(options.files, ready)
    this.#appendedThrough = ready.end
    this.#durableThrough = this.firstLsn
    this.#nextAttempt = ready.nextAttempt
  }

  get firstLsn(): Lsn {
    return firstFrameLsn(this.#segments.first.start)
  }

  get appendedThrough(): Lsn {
    return this.#appendedThrough
  }

  get durableThrough(): Lsn {
    return Math.max(this.#durableThrough, this.firstLsn)
  }

  get allocatedBytes(): number {
    return (this.#segments.kept.length + (this.#leftover?.created.length ?? 0)) * this.#identity.segmentBytes
  }

  async append(bodies: readonly (readonly Buffer[])[]): Promise<readonly Lsn[]> {
    assert(!this.#closed, 'no append after close')
    assert(!this.#appending, 'one append at a time')
    if (bodies.length === 0) return []
    this.#appending = true
    try {
      await this.#clearLeftover()
      const plan = this.#planner.plan(bodies, {
        appendedThrough: this.#appendedThrough,
        attempt: this.#nextAttempt,
      })
      this.#refuseWhenFull(plan)
      this.#nextAttempt += 1
      await this.#write(plan)
      this.#appendedThrough = plan.end
      this.#options.published.store(plan.end)
      return plan.lsns
    } finally {
      this.#appending = false
    }
  }

  async sync(): Promise<void> {
    assert(!this.#closed, 'no sync after close')
    if (this.#syncFailure !== undefined) throw syncFault(this.#syncFailure)
    if (this.durableThrough < this.#appendedThrough) await this.#syncs.request()
  }

  reader(lsn: Lsn): SegmentLogReader {
    assert(!this.#closed, 'no reader after close')
    return new FrameReader(
      { ...this.#identity, files: this.#options.files, published: this.#options.published },
      lsn,
    )
  }

  async deleteBefore(lsn: Lsn): Promise<Lsn> {
    assert(!this.#closed, 'no delete after close')
    for (;;) {
      const { first, last } = this.#segments
      if (first === last || first.start + this.#identity.segmentBytes > lsn) return this.firstLsn
      await this.#segments.remove(first)
    }
  }

  async restart(): Promise<void> {
    assert(!this.#closed, 'no restart after close')
    assert(!this.#appending, 'no restart in mid-append')
    this.#appending = true
    try {
      await this.#clearLeftover()
      await this.#syncs.idle()
      // Oldest first and the new one after them: the volume may have no space for one more.
      while (this.#segments.first !== this.#segments.last) await this.#segments.remove(this.#segments.first)
      await this.#goOnInNewSegment()
    } finally {
      this.#appending = false
    }
  }

  segmentStarts(): readonly Lsn[] {
    return this.#segments.kept.map((segment) => firstFrameLsn(segment.start))
  }

  /** Neither syncs nor cuts: what is in the page cache stays there. Waits for syncs under way. */
  async close(): Promise<void> {
    assert(!this.#appending, 'a log is not closed in mid-append')
    this.#closed = true
    await this.#syncs.idle()
    await this.#segments.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #goOnInNewSegment(): Promise<void> {
    const { last } = this.#segments
    const { logId, segmentBytes } = this.#identity
    const start = last.start + segmentBytes
    const fresh = await this.#segments.create(start)
    try {
      // Durable before the old one goes, so that the directory always holds a log.
      await fresh.file!.write(0, [encodeSegmentHeader({ startLsn: start, segmentBytes, logId })])
      await fresh.file!.sync()
      await this.#options.files.sync()
      await this.#segments.replaceLast(fresh)
    } catch (error) {
      this.#leftover = { zeroFrom: this.#appendedThrough - last.start, zeroBytes: 0, created: [fresh] }
      throw error
    }
    this.#appendedThrough = firstFrameLsn(start)
    this.#durableThrough = this.#appendedThrough
    this.#syncFailure = undefined
    this.#namesDirty = true
    this.#options.published.store(this.#appendedThrough)
  }

  #refuseWhenFull(plan: AppendPlan): void {
    const created = plan.pieces.filter((piece) => piece.segmentStart > this.#segments.last.start).length
    const neededBytes = this.allocatedBytes + created * this.#identity.segmentBytes
    const { bytesMax } = this.#options
    if (created === 0 || neededBytes <= bytesMax) return
    throw fault('LOG_FULL', `the append needs ${neededBytes} bytes of segments, the limit is ${bytesMax}`, {
      details: { neededBytes, bytesMax },
    })
  }

  async #write(plan: AppendPlan): Promise<void> {
    const { last } = this.#segments
    const created: Segment[] = []
    try {
      // Space first: a full volume then shows before anything is written.
      for (const piece of plan.pieces) {
        if (piece.segmentStart > last.start) created.push(await this.#segments.create(piece.segmentStart))
      }
      for (const piece of plan.pieces) {
        const segment = created.find(({ start }) => start === piece.segmentStart) ?? last
        await segment.file!.write(piece.position, piece.data)
        // Not before: a sync that begins in mid-write takes the flag, and may miss what lands after.
        segment.dirty = true
      }
    } catch (error) {
      await this.#takeBack(plan, created, error)
    }
    for (const segment of created) {
      this.#namesDirty = true
      await this.#segments.add(segment)
    }
  }

  /** Restores W2, or notes that it is still to be done; throws the append's fault. */
  async #takeBack(plan: AppendPlan, created: readonly Segment[], error: unknown): Promise<never> {
    const piece = plan.pieces.find(({ segmentStart }) => segmentStart === this.#segments.last.start)
    const zeroFrom = this.#appendedThrough - this.#segments.last.start
    const zeroBytes = piece === undefined ? 0 : piece.position + piece.byteLength - zeroFrom
    this.#leftover = { zeroFrom, zeroBytes, created }
    try {
      await this.#clear(this.#leftover)
    } catch (cutError) {
      throw appendFault(error, { cutFailed: codeOf(cutError) })
    }
    throw appendFault(error, { cutFailed: null })
  }

  async #clearLeftover(): Promise<void> {
    if (this.#leftover === null) return
    try {
      await this.#clear(this.#leftover)
    } catch (error) {
      throw appendFault(error, { cutFailed: codeOf(error) })
    }
  }

  async #clear(leftover: Leftover): Promise<void> {
    const { last } = this.#segments
    // Newest first, so that a crash in between leaves no gap.
    for (const segment of leftover.created.toReversed()) await this.#segments.remove(segment)
    if (leftover.zeroBytes > 0) {
      await last.file!.zero(leftover.zeroFrom, leftover.zeroBytes)
      last.dirty = true
    }
    this.#leftover = null
  }

  async #syncNow(): Promise<void> {
    if (this.#syncFailure !== undefined) throw syncFault(this.#syncFailure)
    const through = this.#appendedThrough
    const namesDirty = this.#namesDirty
    const dirty = this.#segments.kept.filter((segment) => segment.dirty)
    try {
      // Flags first: what is written while a sync flies is for the next one.
      this.#namesDirty = false
      for (const segment of dirty) {
        segment.dirty = false
        await this.#segments.withFile(segment, (file) => file.sync())
      }
      if (namesDirty) await this.#options.files.sync()
    } catch (error) {
      this.#syncFailure = error
      throw syncFault(error)
    }
    this.#durableThrough = Math.max(this.#durableThrough, through)
  }
}

function appendFault(error: unknown, details: { readonly cutFailed: string | null }): Error {
  const code = codeOf(error)
  const isFull = code === 'ENOSPC' || code === 'EDQUOT'
  return fault(isFull ? 'LOG_NO_SPACE' : 'LOG_IO', `the append failed with ${code}`, {
    cause: error,
    details: { code, ...details },
  })
}

function syncFault(error: unknown): Error {
  const code = codeOf(error)
  return fault('LOG_SYNC_FAILED', `a sync of the log failed with ${code}`, {
    cause: error,
    details: { code },
  })
}
