import type { Random } from '@blockferry/runtime'
import { assert } from '@blockferry/runtime'
import type { NodeSegmentFilesOptions } from './node-segment-files.ts'
import { openNodeSegmentFiles } from './node-segment-files.ts'
import { readySegments } from './open-segments.ts'
import type { PublishedLength } from './published-length.ts'
import { localPublishedLength } from './published-length.ts'
import type { SegmentFiles } from './segment-files.ts'
import { logIdBytes, segmentStartOfName } from './segment-header.ts'
import type { Lsn, SegmentLog, SegmentLogLimits, SegmentLogRecovery } from './segment-log.ts'
import { SegmentLogWriter } from './segment-log-writer.ts'

/** Segments are whole pages of at least this size. */
export const segmentAlignmentBytes = 4096

export interface OpenSegmentLogOptions {
  /** `segmentBytes` counts for a new log only: one that exists keeps its own. */
  readonly limits: SegmentLogLimits
  /** Draws the id of a new log. */
  readonly random: Random
  /** Where the appended length is published; in shared memory for a reader in another thread. */
  readonly published?: PublishedLength
  /**
   * Check every frame from this LSN's segment on. After a power loss pass what was last known durable;
   * otherwise the last segment is enough.
   */
  readonly scanFrom?: Lsn
  /** A new log begins in the first segment at or after this LSN, so that LSNs of a log before it stay unique. */
  readonly createAtLsn?: Lsn
}

export interface OpenedSegmentLog {
  readonly log: SegmentLog
  readonly recovery: SegmentLogRecovery
}

/** Opens the log of a directory for writing, creating both when missing. One writer: the owner locks the directory. */
export async function openSegmentLog(
  options: OpenSegmentLogOptions & NodeSegmentFilesOptions,
): Promise<OpenedSegmentLog> {
  return openSegmentLogOn(await openNodeSegmentFiles(options), options)
}

/** As openSegmentLog, on any segment files. */
export async function openSegmentLogOn(
  files: SegmentFiles,
  options: OpenSegmentLogOptions,
): Promise<OpenedSegmentLog> {
  const { limits, random, published = localPublishedLength(), scanFrom, createAtLsn = 0 } = options
  assert(
    limits.segmentBytes > 0 && limits.segmentBytes % segmentAlignmentBytes === 0,
    'segments are whole pages',
  )
  const ready = await readySegments({
    files,
    segmentBytes: limits.segmentBytes,
    newLogId: () => Buffer.from(random.hex(logIdBytes), 'hex'),
    createAtLsn,
    scanFrom,
  })
  const log = await SegmentLogWriter.open({ files, bytesMax: limits.bytesMax, published }, ready)
  return { log, recovery: { tornBytes: ready.tornBytes, corruptAtLsn: ready.corruptAtLsn } }
}

/** Removes a log, when its owner starts over. */
export async function removeSegmentLog(files: SegmentFiles): Promise<void> {
  const names = (await files.list()).filter((name) => segmentStartOfName(name) !== null)
  // Newest first: a crash in between leaves a shorter log, never a gap.
  for (const name of names.toSorted().toReversed()) await files.remove(name)
  await files.sync()
}
