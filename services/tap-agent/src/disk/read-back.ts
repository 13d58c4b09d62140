import { type Extent, extentEnd, splitExtent, splitZero, writeBytesMax } from '@blockferry/disk-stream'
import type { BlockDevice } from '@blockferry/storage'
import { appendEvents } from './append-events.ts'
import { eventsOfData } from './guest-write.ts'
import type { SpoolWriter } from './spool-writer.ts'

/** Entries of one look at the allocation map. */
const allocationEntriesMax = 64

export interface ReadBackDeps {
  readonly device: BlockDevice
  readonly writer: SpoolWriter
  readonly sourceTimeMs: () => number
}

/**
 * Reads an extent from the source and appends what is there as new writes (S5): the source is the truth,
 * nothing is redone onto it. A hole costs no read (SEEK_DATA first) and becomes a zero event. The caller
 * holds the extent's lock. False when the spool took not all of it (everything is owed then).
 * @throws whatever the device throws when it cannot be read: the region is owed, the disk FAILED
 */
export async function readBackExtent(deps: ReadBackDeps, extent: Extent): Promise<boolean> {
  let at = extent.byteOffset
  while (at < extentEnd(extent)) {
    const rest = { byteOffset: at, byteLength: extentEnd(extent) - at }
    for (const entry of await deps.device.allocations(rest, allocationEntriesMax)) {
      const whole = entry.kind === 'hole' ? await appendHole(deps, entry) : await appendData(deps, entry)
      if (!whole) return false
      at = extentEnd(entry)
    }
  }
  return true
}

function appendHole(deps: ReadBackDeps, extent: Extent): Promise<boolean> {
  const capturedAtMs = deps.sourceTimeMs()
  const events = splitZero(extent).map(
    ({ byteLength, byteOffset }) =>
      ({ kind: 'zero', byteOffset, byteLength, mayUnmap: true, capturedAtMs }) as const,
  )
  return appendEvents(deps.writer, { events, data: [] })
}

/** Piece by piece, each appended before the next is read: memory stays at one piece. */
async function appendData(deps: ReadBackDeps, extent: Extent): Promise<boolean> {
  for (const piece of splitExtent(extent, writeBytesMax)) {
    const bytes = Buffer.allocUnsafe(piece.byteLength)
    await deps.device.read(piece.byteOffset, bytes)
    const content = eventsOfData(piece.byteOffset, bytes, deps.sourceTimeMs())
    if (!(await appendEvents(deps.writer, content))) return false
  }
  return true
}
