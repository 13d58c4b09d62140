import { assert } from '@blockferry/runtime'
import type { Extent } from '@blockferry/disk-stream'
import type { Allocation } from './block-device.ts'
import { seekData, seekHole } from './native/file-space.ts'

/**
 * The allocation map of an extent of a file: ascending, gapless from its start, at most `entriesMax`
 * entries, kinds alternating. A file system without SEEK_DATA shows everything as data.
 */
export async function scanAllocations(
  fd: number,
  extent: Extent,
  entriesMax: number,
): Promise<readonly Allocation[]> {
  assert(entriesMax > 0, 'an allocation map has room for an entry')
  const end = extent.byteOffset + extent.byteLength
  const entries: Allocation[] = []
  let at = extent.byteOffset
  while (at < end && entries.length < entriesMax) {
    const data = await seekData(fd, at)
    const isHole = data === null || data > at
    const next = Math.min(end, (isHole ? data : await seekHole(fd, at)) ?? end)
    entries.push({ byteOffset: at, byteLength: next - at, kind: isHole ? 'hole' : 'data' })
    at = next
  }
  return entries
}
