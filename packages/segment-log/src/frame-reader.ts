/*
 * Invariant P1: no byte at or beyond the published length is read from a file or looked at in the
 *   buffer, for until then it may be half written, or be taken back.
 */

import { assert, MiB } from '@blockferry/runtime'
import { fault } from './error-catalogue.ts'
import type { FrameHeader } from './frame.ts'
import { FrameFlag, frameBytes, frameHeaderBytes, frameIsIntact, readFrameHeader } from './frame.ts'
import type { SegmentFile, SegmentFiles } from './segment-files.ts'
import { firstFrameLsn, segmentName, segmentStartOf, settleLsn } from './segment-header.ts'
import type { Frame, Lsn, SegmentLogReader } from './segment-log.ts'

/** Bytes read at once; a frame that is longer gets a buffer of its own. */
export const readAheadBytes = 1 * MiB

export interface FrameSource {
  readonly files: SegmentFiles
  readonly segmentBytes: number
  readonly crcSeed: number
  /** How far frames may be read. */
  readonly published: { load(): Lsn }
}

/** A frame with what only the log itself looks at. */
export interface RawFrame extends Frame {
  readonly attempt: number
  readonly flags: number
}

/** Reads frames in order from any frame's start. Holds one descriptor and one buffer. */
export class FrameReader implements SegmentLogReader {
  readonly #source: FrameSource
  #position: Lsn
  #segment: { readonly start: Lsn; readonly file: SegmentFile } | null = null
  #buffer = Buffer.alloc(0)
  /** What of the log the buffer holds: [#bufferStart, #bufferEnd). */
  #bufferStart: Lsn = 0
  #bufferEnd: Lsn = 0
  /** F2: attempts never decrease along the log. */
  #attemptMin = 0
  #reading = false
  #closed = false

  constructor(source: FrameSource, lsn: Lsn) {
    this.#source = source
    this.#position = lsn
  }

  get lsn(): Lsn {
    return this.#position
  }

  seek(lsn: Lsn): void {
    assert(!this.#reading, 'a reader is not moved while it reads')
    this.#position = lsn
    this.#attemptMin = 0
  }

  async next(): Promise<Frame | null> {
    for (;;) {
      const frame = await this.nextRaw()
      if (frame === null || (frame.flags & FrameFlag.ends) === 0) return frame
    }
  }

  /** As `next`, and also returns the frames that end segments. */
  async nextRaw(): Promise<RawFrame | null> {
    assert(!this.#closed, 'no read after close')
    assert(!this.#reading, 'one read at a time')
    this.#reading = true
    try {
      const through = this.#source.published.load()
      const lsn = settleLsn(this.#position, this.#source.segmentBytes)
      if (lsn >= through) return null
      return await this.#readFrame(lsn, through)
    } finally {
      this.#reading = false
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#leaveSegment()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #readFrame(lsn: Lsn, through: Lsn): Promise<RawFrame> {
    await this.#need({ lsn, byteLength: frameHeaderBytes, through })
    const header = readFrameHeader(this.#buffer, lsn - this.#bufferStart, lsn)
    if (header === null) throw corrupt(lsn, 'no frame begins there')
    if (header.attempt < this.#attemptMin) throw corrupt(lsn, 'it is older than the frame before it')
    await this.#need({ lsn, byteLength: frameBytes(header.bodyBytes), through })
    return this.#takeFrame(lsn, header)
  }

  #takeFrame(lsn: Lsn, header: FrameHeader): RawFrame {
    const at = lsn - this.#bufferStart
    if (!frameIsIntact(this.#buffer, at, { header, crcSeed: this.#source.crcSeed })) {
      throw corrupt(lsn, 'its checksum does not match')
    }
    const { attempt, flags } = header
    const bodyAt = at + frameHeaderBytes
    const body = this.#buffer.subarray(bodyAt, bodyAt + header.bodyBytes)
    const nextLsn = this.#nextLsn(lsn, header)
    this.#attemptMin = attempt
    this.#position = nextLsn
    return { lsn, nextLsn, body, attempt, flags }
  }

  #nextLsn(lsn: Lsn, header: FrameHeader): Lsn {
    const { segmentBytes } = this.#source
    if ((header.flags & FrameFlag.ends) !== 0)
      return firstFrameLsn(segmentStartOf(lsn, segmentBytes) + segmentBytes)
    return settleLsn(lsn + frameBytes(header.bodyBytes), segmentBytes)
  }

  /** Makes the buffer hold [lsn, lsn + byteLength), reading ahead up to what is published. */
  async #need(wanted: { lsn: Lsn; byteLength: number; through: Lsn }): Promise<void> {
    const { lsn, byteLength, through } = wanted
    if (lsn >= this.#bufferStart && lsn + byteLength <= this.#bufferEnd) return
    const start = segmentStartOf(lsn, this.#source.segmentBytes)
    const readable = Math.min(through, start + this.#source.segmentBytes) - lsn
    if (byteLength > readable) throw corrupt(lsn, 'it does not end where the log does')
    const file = await this.#segmentFile(start)
    const ahead = Math.min(Math.max(readAheadBytes, byteLength), readable)
    this.#sizeBuffer(ahead)
    this.#bufferStart = lsn
    this.#bufferEnd = lsn
    this.#bufferEnd = lsn + (await file.read(lsn - start, this.#buffer.subarray(0, ahead)))
    if (this.#bufferEnd < lsn + byteLength) throw corrupt(lsn, 'its segment file is too short')
  }

  /** One read-ahead buffer, kept; a longer one only as long as a long frame needs it. */
  #sizeBuffer(byteLength: number): void {
    const fits = this.#buffer.length >= byteLength
    const isOversize = this.#buffer.length > readAheadBytes && byteLength <= readAheadBytes
    if (!fits || isOversize) this.#buffer = Buffer.allocUnsafeSlow(Math.max(byteLength, readAheadBytes))
  }

  async #segmentFile(start: Lsn): Promise<SegmentFile> {
    if (this.#segment?.start === start) return this.#segment.file
    await this.#leaveSegment()
    const file = await this.#source.files.open(segmentName(start), { readOnly: true })
    if (file === null) {
      throw fault('LOG_GONE', `the log's segment at ${start} has been deleted`, {
        details: { segmentStart: start },
      })
    }
    this.#segment = { start, file }
    return file
  }

  async #leaveSegment(): Promise<void> {
    const segment = this.#segment
    this.#segment = null
    await segment?.file.close()
  }
}

function corrupt(lsn: Lsn, why: string): Error {
  return fault('LOG_CORRUPT', `the frame at ${lsn} is bad: ${why}`, { details: { lsn } })
}
