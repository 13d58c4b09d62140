import { KiB, MiB } from '@blockferry/runtime'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { writeBytesMax, zeroBytesMax } from './event.ts'
import { isAllZero, splitWrite, splitZero } from './split.ts'

describe('split (S4)', () => {
  test('a write becomes consecutive pieces of at most 256 KiB that are views of it', () => {
    for (const byteLength of [1, 4096, writeBytesMax, writeBytesMax + 1, 3 * writeBytesMax, 1 * MiB + 7]) {
      const data = Buffer.alloc(byteLength, 0xab)
      const pieces = splitWrite(1000, data)
      expect(pieces).toHaveLength(Math.ceil(byteLength / writeBytesMax))
      let next = 1000
      for (const piece of pieces) {
        expect(piece.byteOffset).toBe(next)
        expect(piece.data.byteLength).toBeLessThanOrEqual(writeBytesMax)
        expect(piece.data.buffer).toBe(data.buffer)
        expect(piece.data.byteOffset).toBe(data.byteOffset + next - 1000)
        next += piece.data.byteLength
      }
      expect(next).toBe(1000 + byteLength)
    }
    expect(splitWrite(0, Buffer.alloc(0))).toEqual([])
  })

  test('a zeroing becomes consecutive pieces of at most 64 MiB', () => {
    expect(splitZero({ byteOffset: 512, byteLength: 2 * zeroBytesMax + 1 })).toEqual([
      { byteOffset: 512, byteLength: zeroBytesMax },
      { byteOffset: 512 + zeroBytesMax, byteLength: zeroBytesMax },
      { byteOffset: 512 + 2 * zeroBytesMax, byteLength: 1 },
    ])
    expect(splitZero({ byteOffset: 5, byteLength: 0 })).toEqual([])
  })
})

describe('isAllZero (S7)', () => {
  test('finds a single set bit anywhere, at any length and alignment', () => {
    const byteLength = fc.oneof(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1, max: 600 * KiB }))
    fc.assert(
      fc.property(byteLength, fc.nat(), fc.nat(7), (length, at, bit) => {
        const data = Buffer.alloc(length + 3).subarray(3)
        expect(isAllZero(data)).toBe(true)
        data[at % length] = 1 << bit
        expect(isAllZero(data)).toBe(false)
      }),
      { numRuns: 60 },
    )
    expect(isAllZero(Buffer.alloc(0))).toBe(true)
  })
})
