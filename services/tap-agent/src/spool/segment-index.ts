/*
 * What each kept segment of a spool begins with: enough to say which segments lie wholly at or below a
 * position (T3).
 *
 * Invariant X1: `deletableThrough` never names a segment that holds an event above the position, nor the
 * segment that is being written.
 */
import type { Generation, Position } from '@blockferry/disk-stream'
import type { Lsn } from '@blockferry/segment-log'

/** The first frame of a segment. */
export interface SegmentStart {
  readonly lsn: Lsn
  readonly generation: Generation
  readonly firstSequence: number
  readonly chainBefore: number
}

interface IndexedSegment extends SegmentStart {
  /** When it was begun, by the monotonic clock; below 0, in their order, for those an older process began. */
  readonly beganMs: number
}

/** Of the segments that may go, those that shall: the first `countMax`, and those begun by `beganThroughMs`. */
export interface DeletionWanted {
  readonly countMax: number
  readonly beganThroughMs: number
}

const all: DeletionWanted = { countMax: Infinity, beganThroughMs: Infinity }

/** Segments may be deleted up to `lsn`, exclusive; `position` is the last event that goes with them. */
export interface Deletion {
  readonly lsn: Lsn
  readonly position: Position
}

export class SegmentIndex {
  readonly #segmentBytes: number
  #starts: IndexedSegment[] = []

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes
  }

  get starts(): readonly SegmentStart[] {
    return this.#starts
  }

  /** Tells of an appended or scanned frame; only the first of each segment is kept. */
  add(frame: SegmentStart, beganMs: number): void {
    const last = this.#starts.at(-1)
    if (last !== undefined && this.#segmentOf(frame.lsn) <= this.#segmentOf(last.lsn)) return
    const { chainBefore, firstSequence, generation, lsn } = frame
    this.#starts.push({ lsn, generation, firstSequence, chainBefore, beganMs })
  }

  /** Forgets segments that begin before `lsn`. */
  forgetBefore(lsn: Lsn): void {
    this.#starts = this.#starts.filter((start) => start.lsn >= lsn)
  }

  /** The oldest run of segments whose every event is at or below `position`; null when there is none (X1). */
  deletableThrough(position: Position, wanted: DeletionWanted = all): Deletion | null {
    const deletions = this.#deletions(position)
    const kept = deletions.findIndex(
      ({ beganMs }, at) => at >= wanted.countMax && beganMs > wanted.beganThroughMs,
    )
    const count = kept === -1 ? deletions.length : kept
    return deletions[count - 1] ?? null
  }

  /** When each segment was begun that `deletableThrough` could name, oldest first. */
  deletableSinceMs(position: Position): readonly number[] {
    return this.#deletions(position).map(({ beganMs }) => beganMs)
  }

  /** For each segment that may go: the deletion that ends with it. */
  #deletions(position: Position): readonly (Deletion & { readonly beganMs: number })[] {
    const deletions = []
    for (const [at, next] of this.#starts.slice(1).entries()) {
      const end = endBefore(next)
      if (end === null || !isAtOrBelow(end, position)) break
      deletions.push({ lsn: next.lsn, position: end, beganMs: this.#starts[at]?.beganMs ?? 0 })
    }
    return deletions
  }

  /**
   * LSN from which everything kept of the generation from `sequence` on is found: the newest segment that begins at or
   * before it, or, when that one is gone, the oldest that is kept of the generation. Null when none is.
   */
  readFrom(generation: { readonly id: string }, sequence: number): Lsn | null {
    let found: Lsn | null = null
    for (const start of this.#starts) {
      if (start.generation.id === generation.id && start.firstSequence <= sequence) found = start.lsn
    }
    if (found !== null || this.#starts.length === 0) return found
    // The generation may begin in the middle of a segment that an older one opened.
    const before = this.#starts.filter((start) => start.generation.id !== generation.id).at(-1)
    const starts = this.#starts.find((start) => start.generation.id === generation.id)
    return before !== undefined && (starts === undefined || before.lsn < starts.lsn)
      ? before.lsn
      : (starts?.lsn ?? null)
  }

  #segmentOf(lsn: Lsn): number {
    return Math.floor(lsn / this.#segmentBytes)
  }
}

/** The position before a segment's first event. */
function endBefore(start: SegmentStart): Position | null {
  if (start.firstSequence === 1) return start.generation.predecessor
  const { number, id } = start.generation
  return { generation: number, generationId: id, sequence: start.firstSequence - 1, chain: start.chainBefore }
}

/** Positions of one disk compare by generation, then by sequence; an equal number with another id never does. */
export function isAtOrBelow(position: Position, other: Position): boolean {
  if (position.generation !== other.generation) return position.generation < other.generation
  return position.generationId === other.generationId && position.sequence <= other.sequence
}
