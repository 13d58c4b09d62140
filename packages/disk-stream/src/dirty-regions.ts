import { assert, KiB } from '@blockferry/runtime'
import type { Extent } from './event.ts'
import { extentBetween, extentEnd } from './extent.ts'

/** Most regions of one map: 16 MiB of bitmap. */
export const regionsMax = 2 ** 27
export const regionBytesDefault = 256 * KiB

const allOnes = 0xffff_ffff

function bitCount(word: number): number {
  let value = word - ((word >>> 1) & 0x5555_5555)
  value = (value & 0x3333_3333) + ((value >>> 2) & 0x3333_3333)
  return (((value + (value >>> 4)) & 0x0f0f_0f0f) * 0x0101_0101) >>> 24
}

export interface RegionGeometry {
  readonly sizeBytes: number
  /** A power of two. */
  readonly regionBytes: number
}

/**
 * Which regions of a disk are owed: a bitmap, one bit a region (T4, T6; sync progress).
 *
 * Invariant D1: marking widens outwards, clearing shrinks inwards: a byte that was marked and not itself
 * cleared as part of a whole region stays owed.
 */
export class DirtyRegions {
  readonly sizeBytes: number
  readonly regionBytes: number
  readonly regionCount: number
  readonly #words: Uint32Array
  #dirtyCount = 0

  constructor(geometry: RegionGeometry) {
    const { sizeBytes, regionBytes } = geometry
    assert(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0, 'a disk size lies in [0, 2^53)')
    assert(regionBytes > 0 && Number.isInteger(Math.log2(regionBytes)), 'a region size is a power of two')
    this.sizeBytes = sizeBytes
    this.regionBytes = regionBytes
    this.regionCount = Math.ceil(sizeBytes / regionBytes)
    assert(this.regionCount <= regionsMax, `a region map has at most ${regionsMax} regions`)
    this.#words = new Uint32Array(Math.ceil(this.regionCount / 32))
  }

  /** Regions marked. */
  get dirtyCount(): number {
    return this.#dirtyCount
  }

  /** Bytes of the disk that lie in marked regions. */
  get dirtyBytes(): number {
    const last = this.regionCount - 1
    const tailMissing = this.regionCount * this.regionBytes - this.sizeBytes
    return this.#dirtyCount * this.regionBytes - (last >= 0 && this.#isSet(last) ? tailMissing : 0)
  }

  isDirty(byteOffset: number): boolean {
    return this.#isSet(Math.floor(byteOffset / this.regionBytes))
  }

  /** Marks every region the extent touches. */
  mark(extent: Extent): void {
    if (extent.byteLength === 0) return
    assert(extentEnd(extent) <= this.sizeBytes, 'an extent lies within its disk')
    const first = Math.floor(extent.byteOffset / this.regionBytes)
    this.#fill({ first, end: Math.ceil(extentEnd(extent) / this.regionBytes), dirty: true })
  }

  markAll(): void {
    this.#fill({ first: 0, end: this.regionCount, dirty: true })
  }

  /** Clears the regions that lie wholly within the extent (the last region ends with the disk). */
  clear(extent: Extent): void {
    const end = extentEnd(extent)
    const first = Math.ceil(extent.byteOffset / this.regionBytes)
    const endRegion = end >= this.sizeBytes ? this.regionCount : Math.floor(end / this.regionBytes)
    this.#fill({ first, end: endRegion, dirty: false })
  }

  clearAll(): void {
    this.#words.fill(0)
    this.#dirtyCount = 0
  }

  /** The next run of marked regions at or after the region of `fromByteOffset`, cut to `bytesMax` (at least one region). */
  nextRun(fromByteOffset: number, bytesMax: number = this.sizeBytes): Extent | null {
    const first = this.#next({ from: Math.floor(fromByteOffset / this.regionBytes), dirty: true })
    if (first === this.regionCount) return null
    const cleanAt = this.#next({ from: first, dirty: false })
    const end = Math.min(cleanAt, first + Math.max(1, Math.floor(bytesMax / this.regionBytes)))
    return extentBetween(first * this.regionBytes, Math.min(end * this.regionBytes, this.sizeBytes))
  }

  /** All runs of marked regions, ascending, as they stand when each is asked for. */
  *runs(bytesMax: number = this.sizeBytes): Generator<Extent> {
    let from = 0
    for (;;) {
      const run = from < this.sizeBytes ? this.nextRun(from, bytesMax) : null
      if (run === null) return
      yield run
      from = extentEnd(run)
    }
  }

  /** Marks whatever `other` has marked. Both have one geometry. */
  union(other: DirtyRegions): void {
    assert(
      other.regionBytes === this.regionBytes && other.sizeBytes === this.sizeBytes,
      'only maps of one geometry can be joined',
    )
    for (const [index, word] of other.#words.entries()) this.#setWord(index, this.#words[index]! | word)
  }

  /** An independent copy: sync reading works on one (T6). */
  copy(): DirtyRegions {
    const copy = new DirtyRegions(this)
    copy.union(this)
    return copy
  }

  /** The bitmap, region 0 in the lowest bit of byte 0. */
  toBytes(): Buffer {
    const bytes = Buffer.alloc(this.#words.length * 4)
    for (const [index, word] of this.#words.entries()) bytes.writeUInt32LE(word, index * 4)
    return bytes
  }

  static fromBytes(bytes: Buffer, geometry: RegionGeometry): DirtyRegions {
    const regions = new DirtyRegions(geometry)
    assert(bytes.byteLength === regions.#words.length * 4, 'a bitmap has one bit for each region of its disk')
    for (let index = 0; index < regions.#words.length; index += 1) {
      regions.#setWord(index, bytes.readUInt32LE(index * 4))
    }
    // Bits beyond the last region mean nothing and would be counted.
    regions.#fill({ first: regions.regionCount, end: regions.#words.length * 32, dirty: false })
    return regions
  }

  #isSet(region: number): boolean {
    return ((this.#words[region >>> 5] ?? 0) & (1 << (region & 31))) !== 0
  }

  #setWord(index: number, word: number): void {
    this.#dirtyCount += bitCount(word) - bitCount(this.#words[index]!)
    this.#words[index] = word
  }

  #fill(range: { readonly first: number; readonly end: number; readonly dirty: boolean }): void {
    for (let region = range.first; region < range.end;) {
      const bit = region & 31
      const bits = Math.min(32 - bit, range.end - region)
      const mask = (bits === 32 ? allOnes : ((1 << bits) - 1) << bit) >>> 0
      const word = this.#words[region >>> 5]!
      this.#setWord(region >>> 5, (range.dirty ? word | mask : word & ~mask) >>> 0)
      region += bits
    }
  }

  /** First region at or after `from` that is (not) marked; `regionCount` when none. */
  #next(search: { readonly from: number; readonly dirty: boolean }): number {
    const skip = search.dirty ? 0 : allOnes
    let region = search.from
    while (region < this.regionCount) {
      if ((region & 31) === 0 && this.#words[region >>> 5] === skip) region += 32
      else if (this.#isSet(region) === search.dirty) return region
      else region += 1
    }
    return this.regionCount
  }
}
