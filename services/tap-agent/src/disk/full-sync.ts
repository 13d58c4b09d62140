/*
 * The full sync of one disk under live writes (T8, S8): one pass from the cursor to the end. Live writes of
 * the generation are numbered meanwhile, so what a pass has read and what came later is everything.
 *
 * Invariant Y1: an extent is read and numbered under its lock; its lock is let go once it is numbered.
 * Invariant Y2: the cursor in a frame covers only bytes that this and earlier frames of the generation hold.
 * Invariant Y3: a hole becomes a zero event only if it still is one under the lock.
 */
import { type Extent, extentEnd, type RangeLock, writeBytesMax, zeroBytesMax } from '@blockferry/disk-stream'
import type { Clock } from '@blockferry/runtime'
import type { Allocation, BlockDevice } from '@blockferry/storage'
import { appendEvents } from './append-events.ts'
import { type ChangeEvents, eventsOfData } from './guest-write.ts'
import type { SpoolWriter } from './spool-writer.ts'

/** Above this share of the spool waiting for Kafka the sync pauses and leaves the room to the guest (T7). */
export const pauseAbovePressure = 0.25
/** Look again this often while paused. */
const pausePollMs = 50
/** However full the spool: one extent this often, so that a busy guest cannot starve the sync (T7). */
const progressEveryMs = 250
/** … but not above this share, or the sync itself would end in AHEAD. */
const progressBelowPressure = 0.75

export interface FullSyncDeps {
  readonly device: BlockDevice
  readonly lock: RangeLock
  readonly writer: SpoolWriter
  readonly clock: Clock
  readonly sourceTimeMs: () => number
  /** Share of the spool's limit that Kafka has not acknowledged, 0 to 1. */
  readonly pressure: () => number
  readonly signal: AbortSignal
  readonly onDataBytes: (byteLength: number) => void
}

/**
 * Runs until `resyncDone` is in the spool (true), or the spool stopped or the signal aborted (false).
 * @throws what the device throws when it cannot be read
 */
export async function runFullSync(deps: FullSyncDeps, fromBytes: number): Promise<boolean> {
  let cursor = fromBytes
  while (cursor < deps.device.sizeBytes) {
    await waitForRoom(deps)
    if (deps.signal.aborted) return false
    const next = await sendNext(deps, cursor)
    if (next === null) return false
    cursor = next
  }
  const capturedAtMs = deps.sourceTimeMs()
  return appendEvents(deps.writer, { events: [{ kind: 'resyncDone', capturedAtMs }], data: [] }, cursor)
}

async function waitForRoom(deps: FullSyncDeps): Promise<void> {
  const untilMs = deps.clock.monotonicMs() + progressEveryMs
  while (!deps.signal.aborted) {
    const pressure = deps.pressure()
    if (pressure <= pauseAbovePressure) return
    if (deps.clock.monotonicMs() >= untilMs && pressure < progressBelowPressure) return
    await deps.clock.sleep(pausePollMs, deps.signal)
  }
}

/** Sends the extent at the cursor; the new cursor, or null when the spool no longer takes anything. */
async function sendNext(deps: FullSyncDeps, cursor: number): Promise<number | null> {
  const { device, lock } = deps
  const first = await firstAllocation(device, cursor)
  const extent = { byteOffset: cursor, byteLength: Math.min(first.byteLength, lengthMaxOf(first, cursor)) }
  const hold = await lock.acquire(extent)
  let appended: Promise<boolean>
  let sent: Extent
  try {
    const content = await contentOf(deps, extent, first.kind)
    sent = content.extent
    appended = appendEvents(deps.writer, content, extentEnd(sent))
  } finally {
    hold.release()
  }
  return (await appended) ? extentEnd(sent) : null
}

async function firstAllocation(device: BlockDevice, byteOffset: number): Promise<Allocation> {
  const byteLength = Math.min(zeroBytesMax, device.sizeBytes - byteOffset)
  const [first] = await device.allocations({ byteOffset, byteLength }, 1)
  return first ?? { byteOffset, byteLength, kind: 'data' }
}

/** Data ends at the next multiple of 256 KiB, so that reads stay aligned whatever came before. */
function lengthMaxOf(allocation: Allocation, cursor: number): number {
  return allocation.kind === 'hole' ? zeroBytesMax : writeBytesMax - (cursor % writeBytesMax)
}

/** What to send for the extent, which is locked: all of a data extent, or what still is a hole of it (Y3). */
async function contentOf(
  deps: FullSyncDeps,
  extent: Extent,
  expected: Allocation['kind'],
): Promise<ChangeEvents & { readonly extent: Extent }> {
  const { device } = deps
  const [now] = expected === 'hole' ? await device.allocations(extent, 1) : []
  if (now?.kind === 'hole') {
    const { byteOffset, byteLength } = now
    const capturedAtMs = deps.sourceTimeMs()
    const zero = { kind: 'zero', byteOffset, byteLength, mayUnmap: true, capturedAtMs } as const
    return { extent: now, events: [zero], data: [] }
  }
  const data = { byteOffset: extent.byteOffset, byteLength: Math.min(extent.byteLength, writeBytesMax) }
  const bytes = Buffer.allocUnsafe(data.byteLength)
  await device.read(data.byteOffset, bytes)
  deps.onDataBytes(data.byteLength)
  return { extent: data, ...eventsOfData(data.byteOffset, bytes, deps.sourceTimeMs()) }
}

/** Bytes of an extent that are not holes: what a sync has to read. */
export async function dataBytesIn(device: BlockDevice, extent: Extent): Promise<number> {
  let bytes = 0
  for (let at = extent.byteOffset; at < extentEnd(extent);) {
    const rest = { byteOffset: at, byteLength: extentEnd(extent) - at }
    for (const entry of await device.allocations(rest, 1024)) {
      if (entry.kind === 'data') bytes += entry.byteLength
      at = extentEnd(entry)
    }
  }
  return bytes
}
