import { assert } from '@blockferry/runtime'
import { ExtentMap, extentEnd, type UpdateSet } from '@blockferry/disk-stream'
import { decodeRecord } from '@blockferry/schemas'
import type { SegmentLogReader } from '@blockferry/segment-log'
import type { BlockDevice } from '@blockferry/storage'
import type { PendingFrame } from '../disk/pending-frame.ts'
import { applierFault } from '../faults.ts'
import type { Unpack } from '../ports.ts'
import { decodeJournalFrame } from '../volume/journal-frame.ts'
import { type SliceWriterOptions, writeFolded } from './slice-writer.ts'

/** Extents folded at a time: bounds memory where writes are tiny. */
export const sliceExtentsMax = 32_768

export interface ApplyFramesOptions extends SliceWriterOptions {
  readonly reader: SegmentLogReader
  readonly unpack: Unpack
  /** Unpacked bytes held at a time: however long the batch, memory stays flat. */
  readonly sliceBytesMax: number
}

/**
 * Brings an image through these frames, in slices: read from the journal, unpack, fold, write in place.
 * Newer bytes win within a slice by folding and between slices by order. Flush the device afterwards.
 */
export async function applyFrames(
  device: BlockDevice,
  frames: readonly PendingFrame[],
  options: ApplyFramesOptions,
): Promise<{ readonly bytes: number }> {
  const map = new ExtentMap()
  let bytes = 0
  for (const frame of frames) {
    const set = await readSet(frame, options.reader)
    refuseUnfit(set, device)
    const payload = await options.unpack(set)
    // The reader's view dies with its next read; what was unpacked is a copy already.
    map.putSet(set.extents, set.codec === 'none' ? Buffer.from(payload) : payload)
    if (map.dataBytes < options.sliceBytesMax && map.layerCount < sliceExtentsMax) continue
    bytes += (await writeFolded(device, map, options)).bytes
    map.clear()
  }
  if (map.layerCount > 0) bytes += (await writeFolded(device, map, options)).bytes
  return { bytes }
}

async function readSet(frame: PendingFrame, reader: SegmentLogReader): Promise<UpdateSet> {
  reader.seek(frame.lsn)
  const found = await reader.next()
  assert(found !== null, 'a pending frame lies below the end of the journal')
  const any = decodeRecord(decodeJournalFrame(found.body).record)
  assert(any.kind === 'UpdateSet', 'the journal holds update sets')
  const { lastSequence, generation } = any.record
  const same = lastSequence === frame.end.sequence && generation.id === frame.end.generationId
  assert(same, 'the journal holds the set that was accepted')
  return any.record
}

function refuseUnfit(set: UpdateSet, device: BlockDevice): void {
  const last = set.extents.at(-1)
  const details = { diskId: set.diskId, lastSequence: set.lastSequence, sizeBytes: device.sizeBytes }
  if (last !== undefined && extentEnd(last) > device.sizeBytes) {
    const message = `set ${set.lastSequence} of ${set.diskId} ends at ${extentEnd(last)}, the disk at ${device.sizeBytes}`
    throw applierFault('EXTENT_BEYOND_DISK', message, { details })
  }
  if (set.mark?.kind === 'geometry' && set.mark.sizeBytes !== device.sizeBytes) {
    const message = `${set.diskId} has ${set.mark.sizeBytes} bytes from sequence ${set.lastSequence} on`
    throw applierFault('GEOMETRY_UNSUPPORTED', message, { details })
  }
}
