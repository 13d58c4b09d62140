/*
 * What the spool of a disk says at start-up (S5, T3).
 *
 * Invariant R1: in doubt is every event from the last frame's lowest unfinished sequence on: each may have
 * reached the disk whole, in part, or not at all.
 */
import { advanceChain, coalesceExtents, type Extent, type Generation } from '@blockferry/disk-stream'
import type { Lsn, SegmentLog, SegmentLogReader } from '@blockferry/segment-log'
import { createFrameDecoder, type FrameDecoder, type SpoolFrame } from '../spool/frame.ts'
import { SegmentIndex } from '../spool/segment-index.ts'
import type { AppendedState } from './spool-writer.ts'

/** In-doubt extents are merged whenever so many have gathered. */
const inDoubtGatherMax = 10_000

export interface SpoolScan {
  readonly index: SegmentIndex
  /** The last frame's generation, the state after it, and the cut it ends with; null for an empty spool. */
  readonly last: SpoolEnd | null
  /** Disjoint, ascending (R1). Empty for an empty spool. */
  readonly inDoubt: readonly Extent[]
  /** The first sequence in doubt, of the last frame's generation. */
  readonly inDoubtFrom: number
}

export interface SpoolEnd {
  readonly generation: Generation
  readonly state: AppendedState
  /** Null when something else came last. */
  readonly cutId: string | null
}

/** @throws LOG_CORRUPT or SPOOL_FRAME_INVALID when a frame cannot be read: a new generation follows */
export async function scanSpool(log: SegmentLog, segmentBytes: number): Promise<SpoolScan> {
  const decoder = createFrameDecoder()
  const index = new SegmentIndex(segmentBytes)
  await using reader = log.reader(log.firstLsn)
  const starts = log.segmentStarts()
  for (const [at, lsn] of starts.entries()) {
    reader.seek(lsn)
    const frame = await reader.next()
    if (frame === null) continue
    const { generation, firstSequence, chainBefore } = decoder.header(frame.body)
    index.add({ lsn: frame.lsn, generation, firstSequence, chainBefore }, at - starts.length)
  }
  const newest = index.starts.at(-1)
  if (newest === undefined) return { index, last: null, inDoubt: [], inDoubtFrom: 1 }
  const frame = await lastFrame({ reader, decoder }, newest.lsn)
  const from = index.readFrom(frame.generation, frame.lowestUnfinished) ?? newest.lsn
  const inDoubt = await inDoubtExtents({ reader, decoder }, { last: frame, from })
  const lastEvent = frame.events.at(-1)
  const cutId = lastEvent?.kind === 'recoveryPoint' ? lastEvent.cutId : null
  const last = { generation: frame.generation, state: stateAfter(frame), cutId }
  return { index, last, inDoubt, inDoubtFrom: frame.lowestUnfinished }
}

interface Scanner {
  readonly reader: SegmentLogReader
  readonly decoder: FrameDecoder
}

type LastFrame = Omit<SpoolFrame, 'payload'>

async function lastFrame(scanner: Scanner, from: Lsn): Promise<LastFrame> {
  scanner.reader.seek(from)
  let last: LastFrame | null = null
  for (let frame = await scanner.reader.next(); frame !== null; frame = await scanner.reader.next()) {
    last = scanner.decoder.frame(frame.body)
  }
  if (last === null) throw new Error('a segment in the index has a first frame')
  return last
}

function stateAfter(frame: LastFrame): AppendedState {
  let chain = frame.chainBefore
  let sequence = frame.firstSequence - 1
  let capturedAtMs = 0
  for (const event of frame.events) {
    sequence += 1
    chain = advanceChain(chain, { sequence, event })
    capturedAtMs = event.capturedAtMs
  }
  return {
    point: { sequence, chain, capturedAtMs },
    rawBytes: frame.rawBytesBefore + frame.payloadBytes,
    syncCursorBytes: frame.syncCursorBytes,
    syncDone: frame.syncDone,
  }
}

async function inDoubtExtents(
  scanner: Scanner,
  range: { readonly last: LastFrame; readonly from: Lsn },
): Promise<readonly Extent[]> {
  const { generation, lowestUnfinished } = range.last
  scanner.reader.seek(range.from)
  let extents: Extent[] = []
  for (let frame = await scanner.reader.next(); frame !== null; frame = await scanner.reader.next()) {
    const { events, firstSequence, generation: owner } = scanner.decoder.frame(frame.body)
    if (owner.id !== generation.id || firstSequence + events.length <= lowestUnfinished) continue
    for (const [at, event] of events.entries()) {
      if (firstSequence + at < lowestUnfinished) continue
      if (event.kind === 'write' || event.kind === 'zero') extents.push(event)
    }
    if (extents.length > inDoubtGatherMax) extents = [...coalesceExtents(extents)]
  }
  return coalesceExtents(extents)
}
