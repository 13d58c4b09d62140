/*
 * What of a log is still good after its writer has gone.
 *
 * Invariant O1: the log ends at the last frame that commits an append (F3) before the first bad frame.
 * Invariant O2: a bad end is torn when no valid frame follows it, and corrupt when one does: a process
 *   killed in mid-append leaves a prefix of what it was writing. (A host that lost power may have
 *   written later pages and not earlier ones; that, too, is reported as corrupt. Only the owner knows
 *   the boot, and how far the log was synced.)
 */

import { assert, codeOf, MiB } from '@blockferry/runtime'
import {
  FrameFlag,
  frameBytes,
  frameHeaderBytes,
  frameIsIntact,
  frameMagic,
  readFrameHeader,
} from './frame.ts'
import { FrameReader } from './frame-reader.ts'
import type { SegmentFile, SegmentFiles } from './segment-files.ts'
import { firstFrameLsn, segmentHeaderBytes, segmentName, settleLsn } from './segment-header.ts'
import type { Lsn } from './segment-log.ts'

const searchPieceBytes = 1 * MiB

export interface KnownSegments {
  readonly files: SegmentFiles
  readonly segmentBytes: number
  readonly crcSeed: number
  /** Starts of the segments that belong to the log, ascending and without a gap. */
  readonly starts: readonly Lsn[]
  /** Starts of files that do not continue them: a bad header, a gap, another log's. */
  readonly suspects: readonly Lsn[]
  /** Scan at least from here; the default is the last segment that holds a committed append. */
  readonly scanFrom?: Lsn | undefined
}

export interface RecoveredEnd {
  /** Where the log ends now (O1). */
  readonly end: Lsn
  readonly tornBytes: number
  readonly corruptAtLsn: Lsn | null
  /** Higher than any attempt whose frames can still be seen (F2). */
  readonly nextAttempt: number
}

/** Finds the end of a log. Changes nothing. */
export async function findEnd(log: KnownSegments): Promise<RecoveredEnd> {
  const scan = await scanFromSomeCommit(log)
  const rest = await searchBeyond(log, scan)
  const nextAttempt = Math.max(scan.attemptMax, rest.attemptMax) + 1
  if (rest.validFrameFollows) return { end: scan.end, tornBytes: 0, corruptAtLsn: scan.badLsn, nextAttempt }
  // What is too short for a header at the end of a segment is skipped, not torn.
  const hasUncommitted = scan.badLsn > settleLsn(scan.end, log.segmentBytes)
  const tornBytes = (hasUncommitted ? scan.badLsn - scan.end : 0) + rest.usedBytes
  return { end: scan.end, tornBytes, corruptAtLsn: null, nextAttempt }
}

interface Scan {
  /** End of the last committed append. */
  readonly end: Lsn
  /** Where the first frame that is not valid would begin. */
  readonly badLsn: Lsn
  /** Highest attempt among the valid frames. */
  readonly attemptMax: number
}

/** An append may span segments: back off until a commit is seen, or the log begins. */
async function scanFromSomeCommit(log: KnownSegments): Promise<Scan> {
  const { starts, scanFrom = Infinity } = log
  assert(starts.length > 0, 'a log has a segment')
  let index = Math.max(
    0,
    starts.findLastIndex((start) => start <= scanFrom),
  )
  for (;;) {
    const scan = await scanFrames(log, starts[index]!)
    if (scan.end !== null) return { ...scan, end: scan.end }
    if (index === 0) return { ...scan, end: firstFrameLsn(starts[0]!) }
    index -= 1
  }
}

async function scanFrames(
  log: KnownSegments,
  start: Lsn,
): Promise<Omit<Scan, 'end'> & { readonly end: Lsn | null }> {
  const logEnd = log.starts.at(-1)! + log.segmentBytes
  await using reader = new FrameReader({ ...log, published: { load: () => logEnd } }, firstFrameLsn(start))
  let end: Lsn | null = null
  let attemptMax = 0
  for (;;) {
    const frame = await nextOrBad(reader)
    if (frame === null) return { end, badLsn: Math.min(reader.lsn, logEnd), attemptMax }
    attemptMax = frame.attempt
    if ((frame.flags & FrameFlag.commits) !== 0) end = frame.lsn + frameBytes(frame.body.length)
  }
}

/** Null at a bad frame and at the end alike; the reader stays where it is. */
async function nextOrBad(reader: FrameReader): ReturnType<FrameReader['nextRaw']> {
  try {
    return await reader.nextRaw()
  } catch (error) {
    if (codeOf(error) === 'LOG_CORRUPT') return null
    throw error
  }
}

interface Beyond {
  readonly validFrameFollows: boolean
  readonly attemptMax: number
  /** Bytes from the bad frame to the last byte that is not zero, segment headers not counted. */
  readonly usedBytes: number
}

/** Looks at everything from the bad frame on, in our segments and in those that do not fit. */
async function searchBeyond(log: KnownSegments, scan: Scan): Promise<Beyond> {
  const found = { validFrameFollows: false, attemptMax: 0, usedBytes: 0 }
  for (const start of [...log.starts, ...log.suspects].toSorted((a, b) => a - b)) {
    if (start + log.segmentBytes <= scan.badLsn) continue
    const file = await log.files.open(segmentName(start), { readOnly: true })
    assert(file !== null, 'a listed segment is there')
    try {
      const from = Math.max(scan.badLsn - start, segmentHeaderBytes)
      const segment = await searchSegment(file, { start, from, log, attemptMin: scan.attemptMax })
      found.validFrameFollows ||= segment.validFrameFollows
      found.attemptMax = Math.max(found.attemptMax, segment.attemptMax)
      found.usedBytes += segment.usedBytes
    } finally {
      await file.close()
    }
  }
  return found
}

interface SegmentSearch {
  readonly start: Lsn
  readonly from: number
  readonly log: KnownSegments
  /** Older frames are what failed attempts left, and say nothing (F2). */
  readonly attemptMin: number
}

async function searchSegment(file: SegmentFile, search: SegmentSearch): Promise<Beyond> {
  const found = { validFrameFollows: false, attemptMax: 0, usedBytes: 0 }
  const piece = Buffer.alloc(searchPieceBytes)
  const zeroes = Buffer.alloc(searchPieceBytes)
  for (let position = search.from; position < search.log.segmentBytes; position += searchPieceBytes) {
    const count = await file.read(position, piece)
    if (count === 0) break
    const bytes = piece.subarray(0, count)
    if (bytes.equals(zeroes.subarray(0, count))) continue
    found.usedBytes = position - search.from + lastUsedByte(bytes) + 1
    for (const at of magicPositions(bytes)) {
      const attempt = await attemptOfFrameAt(file, position + at, search)
      if (attempt === null) continue
      found.attemptMax = Math.max(found.attemptMax, attempt)
      if (attempt >= search.attemptMin) found.validFrameFollows = true
    }
  }
  return found
}

function lastUsedByte(bytes: Buffer): number {
  let last = bytes.length - 1
  while (last > 0 && bytes[last] === 0) last -= 1
  return last
}

/** Frames begin at multiples of 8, and pieces do too, so a magic is never cut by the end of a piece. */
function* magicPositions(bytes: Buffer): Generator<number> {
  for (let at = bytes.indexOf(frameMagic); at !== -1; at = bytes.indexOf(frameMagic, at + 1)) {
    if (at % 8 === 0) yield at
  }
}

async function attemptOfFrameAt(
  file: SegmentFile,
  position: number,
  search: SegmentSearch,
): Promise<number | null> {
  const { segmentBytes, crcSeed } = search.log
  const headerBytes = Buffer.alloc(frameHeaderBytes)
  if ((await file.read(position, headerBytes)) < frameHeaderBytes) return null
  const header = readFrameHeader(headerBytes, 0, search.start + position)
  if (header === null || position + frameBytes(header.bodyBytes) > segmentBytes) return null
  const frame = Buffer.alloc(frameHeaderBytes + header.bodyBytes)
  if ((await file.read(position, frame)) < frame.length) return null
  return frameIsIntact(frame, 0, { header, crcSeed }) ? header.attempt : null
}
