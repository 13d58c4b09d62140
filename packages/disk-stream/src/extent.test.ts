import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Extent } from './event.ts'
import {
  alignExtents,
  coalesceExtents,
  extentEnd,
  extentsOverlap,
  intersectExtents,
  splitExtent,
  subtractExtents,
  totalBytes,
} from './extent.ts'

const extent = fc.record({ byteOffset: fc.nat(60), byteLength: fc.nat(20) })
const some = extent.filter((one) => one.byteLength > 0)

function bytesOf(extents: readonly Extent[]): Set<number> {
  const bytes = new Set<number>()
  for (const one of extents) for (let at = one.byteOffset; at < extentEnd(one); at += 1) bytes.add(at)
  return bytes
}

function expectTidy(extents: readonly Extent[], gapMin: number): void {
  for (const [index, one] of extents.entries()) {
    expect(one.byteLength).toBeGreaterThan(0)
    if (index > 0) expect(one.byteOffset).toBeGreaterThanOrEqual(extentEnd(extents[index - 1]!) + gapMin)
  }
}

test('coalescing keeps the bytes, in ascending extents that do not touch', () => {
  fc.assert(
    fc.property(fc.array(extent), (extents) => {
      const merged = coalesceExtents(extents)
      expect(bytesOf(merged)).toEqual(bytesOf(extents))
      expectTidy(merged, 1)
      expect(totalBytes(merged)).toBe(bytesOf(extents).size)
    }),
  )
})

test('an intersection and a subtraction share the bytes between them', () => {
  fc.assert(
    fc.property(some, some, fc.array(extent), (a, b, holes) => {
      const shared = intersectExtents(a, b)
      const expected = [...bytesOf([a])].filter((byte) => bytesOf([b]).has(byte))
      expect([...bytesOf(shared === null ? [] : [shared])]).toEqual(expected)
      expect(extentsOverlap(a, b)).toBe(shared !== null)
      const left = subtractExtents(a, holes)
      const outside = [...bytesOf([a])].filter((byte) => !bytesOf(holes).has(byte))
      expect([...bytesOf(left)]).toEqual(outside)
      expectTidy(left, 1)
    }),
  )
})

test('splitting keeps the bytes in pieces of at most the given length', () => {
  fc.assert(
    fc.property(extent, fc.integer({ min: 1, max: 9 }), (one, bytesMax) => {
      const pieces = splitExtent(one, bytesMax)
      expectTidy(pieces, 0)
      expect(totalBytes(pieces)).toBe(one.byteLength)
      expect(bytesOf(pieces)).toEqual(bytesOf([one]))
      for (const piece of pieces) expect(piece.byteLength).toBeLessThanOrEqual(bytesMax)
    }),
  )
})

test('aligning covers the bytes with whole blocks inside the disk, no block twice (R2)', () => {
  fc.assert(
    fc.property(fc.array(extent), fc.constantFrom(1, 2, 8, 16), (extents, blockBytes) => {
      const aligned = alignExtents(extents, { blockBytes, sizeBytes: 81 })
      expect([...bytesOf(aligned)]).toEqual(expect.arrayContaining([...bytesOf(extents)]))
      expectTidy(aligned, 1)
      for (const one of aligned) {
        expect(one.byteOffset % blockBytes).toBe(0)
        expect(extentEnd(one) % blockBytes === 0 || extentEnd(one) === 81).toBe(true)
      }
      const blocks = new Set([...bytesOf(extents)].map((byte) => Math.floor(byte / blockBytes)))
      const covered = new Set([...bytesOf(aligned)].map((byte) => Math.floor(byte / blockBytes)))
      expect(covered).toEqual(blocks)
    }),
  )
})
