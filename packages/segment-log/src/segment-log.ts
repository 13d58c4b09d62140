/*
 * An append-only log in whole, preallocated segments: the tap's spool (T3) and the applier's redo
 * journal (R1).
 *
 * An LSN is a logical byte offset that only grows: segment k covers [k · segmentBytes, (k+1) · segmentBytes).
 * A frame never crosses a segment; what is left of a segment when the next frame does not fit is skipped.
 */

/** Where a frame begins: a multiple of 8, below 2^53. */
export type Lsn = number

/** A frame as read back: `body` is a view that is valid until the next read on the same reader. */
export interface Frame {
  readonly lsn: Lsn
  /** Where the next frame begins or will begin. */
  readonly nextLsn: Lsn
  readonly body: Buffer
}

export interface SegmentLogLimits {
  /** Bytes of one segment, allocated whole. */
  readonly segmentBytes: number
  /** Bytes of all segments; an append that would need more throws LOG_FULL, nothing of it is written. */
  readonly bytesMax: number
}

/**
 * Single writer. One `append` may be outstanding at a time (the caller batches; asserted).
 * After an append failed (ENOSPC, EIO, short write) nothing of it is in the log: the tail is cut back
 * to `appendedThrough` and the next append may try again.
 */
export interface SegmentLog extends AsyncDisposable {
  /** First LSN still kept. */
  readonly firstLsn: Lsn
  /** End of the last complete append: everything below is readable. */
  readonly appendedThrough: Lsn
  /** End of what the last successful sync covered. */
  readonly durableThrough: Lsn
  /** Bytes on disk, whole segments. */
  readonly allocatedBytes: number
  /** Appends each body (a list of buffers, written as one) as one frame, all in as few writev calls as can be; returns their LSNs. */
  append(bodies: readonly (readonly Buffer[])[]): Promise<readonly Lsn[]>
  /** fdatasync of everything appended before the call (group commit: concurrent callers share one). */
  sync(): Promise<void>
  /** A reader from `lsn` (a frame's start, `firstLsn` or `appendedThrough`); it never reads past what was appended. */
  reader(lsn: Lsn): SegmentLogReader
  /** Drops whole segments that end at or below `lsn`; returns the new firstLsn. */
  deleteBefore(lsn: Lsn): Promise<Lsn>
  /**
   * Drops everything and goes on in a new segment, above all that went before, as a log opened anew: a failed sync
   * is forgotten with the bytes it was about. The owner says that nothing of it is needed. Nothing may be appended
   * meanwhile. When it fails the log is as before, or shorter at its old end, and it may be tried again.
   */
  restart(): Promise<void>
  /** LSN of the first frame of each kept segment, ascending: the coarse index by which owners find a position. */
  segmentStarts(): readonly Lsn[]
  close(): Promise<void>
}

export interface SegmentLogReader extends AsyncDisposable {
  readonly lsn: Lsn
  /** The next frame, or null at the published end. Throws LOG_CORRUPT on a bad frame below it. */
  next(): Promise<Frame | null>
  seek(lsn: Lsn): void
  close(): Promise<void>
}

/** What opening found and did. */
export interface SegmentLogRecovery {
  /** Bytes of a torn last append that were cut; 0 when clean. */
  readonly tornBytes: number
  /** Set when a bad frame has valid frames after it: corruption, not a torn tail. The log ends before it. */
  readonly corruptAtLsn: Lsn | null
}
