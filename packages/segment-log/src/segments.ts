import { assert } from '@blockferry/runtime'
import type { SegmentFile, SegmentFiles } from './segment-files.ts'
import { segmentName } from './segment-header.ts'
import type { Lsn } from './segment-log.ts'

/** One kept segment of a log that is being written. */
export interface Segment {
  readonly start: Lsn
  /** Open while it is written or not yet synced, and while a sync runs. */
  file: SegmentFile | null
  /** Holds bytes that no sync which began after them has covered. */
  dirty: boolean
  /** Calls that use `file` now. */
  users: number
  /** Removed, or being removed: to be closed when the last user is done. */
  retired: boolean
}

/** The kept segments, oldest first; the last one is written. */
export class Segments {
  readonly segmentBytes: number
  readonly #files: SegmentFiles
  #kept: Segment[]

  /** After opening nothing is known to be durable, so every segment counts as dirty. */
  constructor(files: SegmentFiles, log: { readonly starts: readonly Lsn[]; readonly segmentBytes: number }) {
    this.#files = files
    this.segmentBytes = log.segmentBytes
    this.#kept = log.starts.map((start) => segmentAt(start, null))
  }

  get kept(): readonly Segment[] {
    return this.#kept
  }

  get first(): Segment {
    return this.#kept[0]!
  }

  get last(): Segment {
    return this.#kept.at(-1)!
  }

  /** Opens the segment that is written. */
  async openLast(): Promise<void> {
    await this.#reopen(this.last)
  }

  /** Creates a segment without adding it to the log. */
  async create(start: Lsn): Promise<Segment> {
    return segmentAt(start, await this.#files.create(segmentName(start), this.segmentBytes))
  }

  /** Adds a segment created before, which now holds frames. */
  async add(segment: Segment): Promise<void> {
    assert(segment.start === this.last.start + this.segmentBytes, 'segments follow each other')
    const before = this.last
    this.#kept.push(segment)
    await this.#releaseWhenClean(before)
  }

  /** Takes a segment out of the log and its file out of the directory. */
  async remove(segment: Segment): Promise<void> {
    segment.retired = true
    try {
      await this.#files.remove(segmentName(segment.start))
    } catch (error) {
      segment.retired = false
      throw error
    }
    this.#kept = this.#kept.filter((kept) => kept !== segment)
    if (segment.users === 0) await closeFile(segment)
  }

  /** Goes on with `fresh` alone, which follows the last segment; that one's file goes first, or nothing changes. */
  async replaceLast(fresh: Segment): Promise<void> {
    const { last } = this
    assert(this.first === last, 'the older segments are removed before')
    assert(fresh.start === last.start + this.segmentBytes, 'segments follow each other')
    await this.#files.remove(segmentName(last.start))
    last.retired = true
    this.#kept = [fresh]
    if (last.users === 0) await closeFile(last)
  }

  /** Runs `use` on a segment's file, opening it when needed; not when the segment is removed meanwhile. */
  async withFile(segment: Segment, use: (file: SegmentFile) => Promise<void>): Promise<void> {
    segment.users += 1
    try {
      const file = segment.file ?? (await this.#reopen(segment))
      if (file !== null) await use(file)
    } finally {
      segment.users -= 1
      await this.#releaseWhenClean(segment)
    }
  }

  /** Closes all files. */
  async close(): Promise<void> {
    for (const segment of this.#kept) await closeFile(segment)
  }

  async #reopen(segment: Segment): Promise<SegmentFile | null> {
    const file = await this.#files.open(segmentName(segment.start), { readOnly: false })
    assert(file !== null || segment.retired, 'a kept segment is there')
    assert(segment.file === null, 'one call at a time opens a segment')
    segment.file = file
    return file
  }

  async #releaseWhenClean(segment: Segment): Promise<void> {
    const isNeeded = segment === this.last || segment.dirty
    if (segment.users === 0 && (segment.retired || !isNeeded)) await closeFile(segment)
  }
}

function segmentAt(start: Lsn, file: SegmentFile | null): Segment {
  return { start, file, dirty: true, users: 0, retired: false }
}

async function closeFile(segment: Segment): Promise<void> {
  const file = segment.file
  segment.file = null
  await file?.close()
}
