import { assert } from '@blockferry/runtime'
import { crcSeedOf } from './frame.ts'
import type { RecoveredEnd } from './recovery.ts'
import { findEnd } from './recovery.ts'
import type { SegmentFiles } from './segment-files.ts'
import type { SegmentHeader } from './segment-header.ts'
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  firstFrameLsn,
  segmentHeaderBytes,
  segmentName,
  segmentStartOfName,
} from './segment-header.ts'
import type { Lsn } from './segment-log.ts'

/** A log that is ready to be written: its segments end with the one `end` lies in, zero from `end` on. */
export interface ReadySegments extends RecoveredEnd {
  readonly starts: readonly Lsn[]
  readonly segmentBytes: number
  readonly logId: Buffer
  readonly crcSeed: number
}

export interface ReadySegmentsOptions {
  readonly files: SegmentFiles
  /** For a new log; one that exists keeps its own. */
  readonly segmentBytes: number
  /** For a new log. */
  readonly newLogId: () => Buffer
  /** For a new log: it begins in the first segment at or after this LSN. */
  readonly createAtLsn: Lsn
  readonly scanFrom?: Lsn | undefined
}

interface FoundSegment {
  readonly start: Lsn
  readonly header: SegmentHeader | null
}

/** Finds the log in a directory and cuts its bad end off, or creates it. */
export async function readySegments(options: ReadySegmentsOptions): Promise<ReadySegments> {
  const found = await findSegments(options.files)
  const reference = found.find((segment) => segment.header !== null)?.header ?? null
  const runLength = reference === null ? 0 : lengthOfRun(found, reference)
  if (reference === null || runLength === 0) return startOver(options, found)
  const starts = found.slice(0, runLength).map((segment) => segment.start)
  const suspects = found.slice(runLength).map((segment) => segment.start)
  const { segmentBytes, logId } = reference
  const log = { files: options.files, segmentBytes, crcSeed: crcSeedOf(logId), starts, suspects }
  const end = await findEnd({ ...log, scanFrom: options.scanFrom })
  const kept = await cut(log, end)
  return { ...end, starts: kept, segmentBytes, logId, crcSeed: log.crcSeed }
}

async function findSegments(files: SegmentFiles): Promise<readonly FoundSegment[]> {
  const starts = (await files.list()).map(segmentStartOfName).filter((start) => start !== null)
  const found: FoundSegment[] = []
  for (const start of starts.toSorted((a, b) => a - b))
    found.push({ start, header: await readHeader(files, start) })
  return found
}

/** The header of a segment, or null when it is missing or bad. */
export async function readHeader(files: SegmentFiles, start: Lsn): Promise<SegmentHeader | null> {
  const file = await files.open(segmentName(start), { readOnly: true })
  if (file === null) return null
  try {
    const bytes = Buffer.alloc(segmentHeaderBytes)
    const count = await file.read(0, bytes)
    const header = decodeSegmentHeader(bytes.subarray(0, count))
    return header?.startLsn === start ? header : null
  } finally {
    await file.close()
  }
}

/** How many segments from the first on are of one log and follow each other. */
function lengthOfRun(found: readonly FoundSegment[], reference: SegmentHeader): number {
  const first = found[0]?.start ?? 0
  const end = found.findIndex(({ start, header }, index) => {
    const continues = start === first + index * reference.segmentBytes
    const isOurs = header?.logId.equals(reference.logId) && header.segmentBytes === reference.segmentBytes
    return !continues || !isOurs
  })
  return end === -1 ? found.length : end
}

/**
 * Removes what lies beyond the end and zeroes the rest of its segment, durably, so that no later opening
 * meets it again. Newest first: a crash in between must not leave a gap.
 */
async function cut(
  log: { files: SegmentFiles; segmentBytes: number; starts: readonly Lsn[]; suspects: readonly Lsn[] },
  recovered: RecoveredEnd,
): Promise<readonly Lsn[]> {
  const { files, segmentBytes } = log
  const isKept = (start: Lsn): boolean => start < recovered.end
  const dropped = [...log.starts.filter((start) => !isKept(start)), ...log.suspects].toSorted((a, b) => b - a)
  for (const start of dropped) await files.remove(segmentName(start))
  if (dropped.length > 0) await files.sync()
  const kept = log.starts.filter(isKept)
  const last = kept.at(-1)
  assert(last !== undefined, 'the log keeps the segment it ends in')
  const position = recovered.end - last
  const needsZeroing = recovered.tornBytes > 0 || recovered.corruptAtLsn !== null
  if (needsZeroing && position < segmentBytes) await zeroTail(files, last, { position, segmentBytes })
  return kept
}

async function zeroTail(
  files: SegmentFiles,
  start: Lsn,
  tail: { readonly position: number; readonly segmentBytes: number },
): Promise<void> {
  const file = await files.open(segmentName(start), { readOnly: false })
  assert(file !== null, 'the last segment is there')
  try {
    await file.zero(tail.position, tail.segmentBytes - tail.position)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** No segment to begin with: a new log, one whose creation was cut short, or one whose first header is lost. */
async function startOver(
  options: ReadySegmentsOptions,
  found: readonly FoundSegment[],
): Promise<ReadySegments> {
  const { files, segmentBytes } = options
  const first = found[0]?.start
  const isLoss = first !== undefined && !(found.length === 1 && (await isBlank(files, first)))
  for (const { start } of found.toReversed()) await files.remove(segmentName(start))
  const start = Math.ceil((first ?? options.createAtLsn) / segmentBytes) * segmentBytes
  const logId = options.newLogId()
  const file = await files.create(segmentName(start), segmentBytes)
  try {
    await file.write(0, [encodeSegmentHeader({ startLsn: start, segmentBytes, logId })])
    await file.sync()
  } finally {
    await file.close()
  }
  await files.sync()
  const end = firstFrameLsn(start)
  const corruptAtLsn = isLoss ? end : null
  return {
    starts: [start],
    end,
    tornBytes: 0,
    corruptAtLsn,
    nextAttempt: 1,
    segmentBytes,
    logId,
    crcSeed: crcSeedOf(logId),
  }
}

/** Whether nothing but a header was ever written to a segment: the log syncs that before it takes an append. */
async function isBlank(files: SegmentFiles, start: Lsn): Promise<boolean> {
  const file = await files.open(segmentName(start), { readOnly: true })
  if (file === null) return true
  try {
    const piece = Buffer.alloc(1 << 20)
    for (let position = segmentHeaderBytes; ; position += piece.length) {
      const count = await file.read(position, piece)
      if (piece.subarray(0, count).some((byte) => byte !== 0)) return false
      if (count < piece.length) return true
    }
  } finally {
    await file.close()
  }
}
