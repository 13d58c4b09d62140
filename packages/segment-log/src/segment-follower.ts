import { fault } from './error-catalogue.ts'
import { crcSeedOf } from './frame.ts'
import { FrameReader } from './frame-reader.ts'
import { openNodeSegmentFiles } from './node-segment-files.ts'
import { readHeader } from './open-segments.ts'
import type { PublishedLength } from './published-length.ts'
import type { SegmentFiles } from './segment-files.ts'
import {
  firstFrameLsn,
  type SegmentHeader,
  segmentName,
  segmentStartOf,
  segmentStartOfName,
} from './segment-header.ts'
import type { Lsn, SegmentLogReader } from './segment-log.ts'

/** What a thread that does not write the log can do with it. */
export interface SegmentLogFollower {
  /** First LSN of the first segment that is there now. */
  firstLsn(): Promise<Lsn>
  /** A reader from a frame's start; never past what is published. `next` throws LOG_GONE on a deleted segment. */
  reader(lsn: Lsn): SegmentLogReader
  /** fdatasync of the segments that hold [from, published); returns how far all is durable now. */
  syncFrom(from: Lsn): Promise<Lsn>
}

export interface OpenFollowerOptions {
  readonly directory: string
  /** What the writer publishes to. */
  readonly published: PublishedLength
}

/**
 * Opens the log of a directory for reading while another thread writes it.
 * @throws LOG_GONE when the directory holds no log
 */
export async function openSegmentFollower(options: OpenFollowerOptions): Promise<SegmentLogFollower> {
  return openSegmentFollowerOn(await openNodeSegmentFiles(options), options.published)
}

/** As openSegmentFollower, on any segment files. */
export async function openSegmentFollowerOn(
  files: SegmentFiles,
  published: PublishedLength,
): Promise<SegmentLogFollower> {
  const { segmentBytes, logId } = await firstHeader(files)
  const crcSeed = crcSeedOf(logId)
  return {
    firstLsn: async () => firstFrameLsn(await firstStart(files)),
    reader: (lsn) => new FrameReader({ files, segmentBytes, crcSeed, published }, lsn),
    syncFrom: async (from) => {
      const through = published.load()
      for (let start = segmentStartOf(from, segmentBytes); start < through; start += segmentBytes) {
        await syncSegment(files, start)
      }
      await files.sync()
      return through
    },
  }
}

/** The writer may delete segments meanwhile; each time another one is the first. */
async function firstHeader(files: SegmentFiles): Promise<SegmentHeader> {
  for (let goneStart: Lsn | null = null; ;) {
    const start = await firstStart(files)
    const header = await readHeader(files, start)
    if (header !== null) return header
    if (start === goneStart) throw fault('LOG_GONE', 'the first segment has no header')
    goneStart = start
  }
}

async function firstStart(files: SegmentFiles): Promise<Lsn> {
  const starts = (await files.list()).map(segmentStartOfName).filter((start) => start !== null)
  const first = starts.toSorted((a, b) => a - b)[0]
  if (first === undefined) throw fault('LOG_GONE', 'the directory holds no log')
  return first
}

/** A segment that has been deleted needs no sync: nobody reads it again. */
async function syncSegment(files: SegmentFiles, start: Lsn): Promise<void> {
  const file = await files.open(segmentName(start), { readOnly: true })
  if (file === null) return
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
