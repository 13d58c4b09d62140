import { type Extent, isAllZero, splitWrite, splitZero, type StreamEvent } from '@blockferry/disk-stream'
import { KiB } from '@blockferry/runtime'
import type { BlockDevice } from '@blockferry/storage'
import { crc32 } from 'node:zlib'

/**
 * Zero data shorter than this is written as data: many small ZERO_RANGE calls would shatter the file's
 * extents, and the bytes read the same.
 */
export const zeroRangeBytesMin = 64 * KiB

/** What the guest asked for: the only three ways bytes of a disk change. */
export type GuestChange =
  | { readonly kind: 'write'; readonly byteOffset: number; readonly data: Buffer }
  | ({ readonly kind: 'zero'; readonly mayUnmap: boolean } & Extent)

/** Events of a change, unnumbered, with the data of its write events (S4: split; S7: zero detection). */
export interface ChangeEvents {
  readonly events: readonly StreamEvent[]
  readonly data: readonly Buffer[]
}

export function extentOf(change: GuestChange): Extent {
  if (change.kind === 'zero') return change
  return { byteOffset: change.byteOffset, byteLength: change.data.length }
}

export function eventsOf(change: GuestChange, capturedAtMs: number): ChangeEvents {
  if (change.kind === 'write') return eventsOfData(change.byteOffset, change.data, capturedAtMs)
  const { mayUnmap } = change
  const events = splitZero(change).map(({ byteOffset, byteLength }): StreamEvent => ({
    kind: 'zero',
    byteOffset,
    byteLength,
    mayUnmap,
    capturedAtMs,
  }))
  return { events, data: [] }
}

/** Data as it is to stand in the stream; also what a read-back or the full sync found on the source. */
export function eventsOfData(byteOffset: number, bytes: Buffer, capturedAtMs: number): ChangeEvents {
  const events: StreamEvent[] = []
  const data: Buffer[] = []
  for (const piece of splitWrite(byteOffset, bytes)) {
    const extent = { byteOffset: piece.byteOffset, byteLength: piece.data.length }
    if (isAllZero(piece.data)) {
      events.push({ kind: 'zero', ...extent, mayUnmap: false, capturedAtMs })
    } else {
      events.push({ kind: 'write', ...extent, dataCrc: crc32(piece.data), capturedAtMs })
      data.push(piece.data)
    }
  }
  return { events, data }
}

/** Does the change on the device. Long zero data becomes a zeroing, as in the stream (S7). */
export async function performChange(device: BlockDevice, change: GuestChange): Promise<void> {
  if (change.kind === 'zero') return device.zero(change, { mayUnmap: change.mayUnmap })
  const { byteOffset, data } = change
  if (data.length < zeroRangeBytesMin || !isAllZero(data)) return device.write(byteOffset, [data])
  return device.zero({ byteOffset, byteLength: data.length }, { mayUnmap: false })
}
