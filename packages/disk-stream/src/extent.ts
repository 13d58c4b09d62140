import { assert } from '@blockferry/runtime'
import type { Extent } from './event.ts'

/** First byte after an extent. */
export function extentEnd(extent: Extent): number {
  return extent.byteOffset + extent.byteLength
}

export function extentBetween(byteOffset: number, end: number): Extent {
  return { byteOffset, byteLength: end - byteOffset }
}

export function extentsOverlap(a: Extent, b: Extent): boolean {
  return a.byteOffset < extentEnd(b) && b.byteOffset < extentEnd(a)
}

/** What two extents share; null when nothing. */
export function intersectExtents(a: Extent, b: Extent): Extent | null {
  const start = Math.max(a.byteOffset, b.byteOffset)
  const end = Math.min(extentEnd(a), extentEnd(b))
  return start < end ? extentBetween(start, end) : null
}

/** What of `extent` lies outside all of `holes` (any order, may overlap), ascending. */
export function subtractExtents(extent: Extent, holes: readonly Extent[]): readonly Extent[] {
  const left: Extent[] = []
  let start = extent.byteOffset
  const end = extentEnd(extent)
  for (const hole of coalesceExtents(holes)) {
    if (extentEnd(hole) <= start) continue
    if (hole.byteOffset >= end) break
    if (hole.byteOffset > start) left.push(extentBetween(start, hole.byteOffset))
    start = extentEnd(hole)
  }
  if (start < end) left.push(extentBetween(start, end))
  return left
}

/** The extent in pieces of at most `bytesMax`, ascending. An empty extent has none. */
export function splitExtent(extent: Extent, bytesMax: number): readonly Extent[] {
  assert(bytesMax > 0, 'a piece has at least one byte')
  if (extent.byteLength > 0 && extent.byteLength <= bytesMax) return [extent]
  const end = extentEnd(extent)
  const pieces: Extent[] = []
  for (let at = extent.byteOffset; at < end; at += bytesMax) {
    pieces.push(extentBetween(at, Math.min(at + bytesMax, end)))
  }
  return pieces
}

/** The same bytes as disjoint, ascending extents that do not touch; empty ones vanish. */
export function coalesceExtents(extents: readonly Extent[]): readonly Extent[] {
  const sorted = extents.filter((extent) => extent.byteLength > 0)
  sorted.sort((a, b) => a.byteOffset - b.byteOffset)
  const merged: Extent[] = []
  for (const extent of sorted) {
    const last = merged.at(-1)
    if (last === undefined || extent.byteOffset > extentEnd(last)) merged.push(extent)
    else if (extentEnd(extent) > extentEnd(last)) {
      merged[merged.length - 1] = extentBetween(last.byteOffset, extentEnd(extent))
    }
  }
  return merged
}

/** The extent widened outwards to multiples of `blockBytes`, but not beyond `sizeBytes` (R2). */
export function alignExtent(
  extent: Extent,
  options: { readonly blockBytes: number; readonly sizeBytes: number },
): Extent {
  const { blockBytes, sizeBytes } = options
  const start = Math.floor(extent.byteOffset / blockBytes) * blockBytes
  const end = Math.ceil(extentEnd(extent) / blockBytes) * blockBytes
  return extentBetween(start, Math.max(extentEnd(extent), Math.min(end, sizeBytes)))
}

/** Every extent widened to whole blocks, then coalesced: no two of the result share a block (R2). */
export function alignExtents(
  extents: readonly Extent[],
  options: { readonly blockBytes: number; readonly sizeBytes: number },
): readonly Extent[] {
  const filled = extents.filter((extent) => extent.byteLength > 0)
  return coalesceExtents(filled.map((extent) => alignExtent(extent, options)))
}

export function totalBytes(extents: readonly Extent[]): number {
  let bytes = 0
  for (const extent of extents) bytes += extent.byteLength
  return bytes
}
