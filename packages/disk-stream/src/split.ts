import type { Extent } from './event.ts'
import { writeBytesMax, zeroBytesMax } from './event.ts'
import { splitExtent } from './extent.ts'

/** One piece of a write, still unnumbered. `data` is a view of the caller's buffer. */
export interface WritePiece {
  readonly byteOffset: number
  readonly data: Buffer
}

/** A write as consecutive data events of at most 256 KiB (S4); number them all in one tick. Copies nothing. */
export function splitWrite(byteOffset: number, data: Buffer): readonly WritePiece[] {
  if (data.byteLength <= writeBytesMax) return data.byteLength === 0 ? [] : [{ byteOffset, data }]
  return splitExtent({ byteOffset, byteLength: data.byteLength }, writeBytesMax).map((extent) => {
    const from = extent.byteOffset - byteOffset
    return { byteOffset: extent.byteOffset, data: data.subarray(from, from + extent.byteLength) }
  })
}

/** A zeroing as consecutive zero events of at most 64 MiB (S4). */
export function splitZero(extent: Extent): readonly Extent[] {
  return splitExtent(extent, zeroBytesMax)
}

const zeroes = Buffer.alloc(writeBytesMax)

/** True when every byte is zero (S7). memcmp against zeroes: stops at the first difference, ~10 GB/s. */
export function isAllZero(data: Buffer): boolean {
  if (data.byteLength === 0) return true
  if (data[0] !== 0 || data[data.byteLength - 1] !== 0) return false
  for (let from = 0; from < data.byteLength; from += zeroes.byteLength) {
    const to = Math.min(from + zeroes.byteLength, data.byteLength)
    if (zeroes.compare(data, from, to, 0, to - from) !== 0) return false
  }
  return true
}
