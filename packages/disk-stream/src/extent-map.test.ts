import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Extent } from './event.ts'
import type { FoldedExtent } from './extent-map.ts'
import { ExtentMap } from './extent-map.ts'
import { extentEnd } from './extent.ts'
import { runCount } from './testing/choose.ts'
import { ByteModel } from './testing/stream-model.ts'

const diskBytes = 96
const operation = fc.record({
  kind: fc.constantFrom('write', 'write', 'zero', 'unmap'),
  byteOffset: fc.nat(diskBytes - 1),
  byteLength: fc.integer({ min: 1, max: 24 }),
  fill: fc.integer({ min: 1, max: 255 }),
})
const history = fc.array(operation, { maxLength: 60 })
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

function extentOf(step: Operation): Extent {
  return { byteOffset: step.byteOffset, byteLength: Math.min(step.byteLength, diskBytes - step.byteOffset) }
}

function put(map: ExtentMap, step: Operation): void {
  const extent = extentOf(step)
  if (step.kind === 'write') map.write(extent.byteOffset, Buffer.alloc(extent.byteLength, step.fill))
  else map.zero(extent, { mayUnmap: step.kind === 'unmap' })
}

function bytesOf(extent: FoldedExtent): Buffer {
  return extent.kind === 'data' ? Buffer.concat(extent.data) : Buffer.alloc(extent.byteLength)
}

/** What each byte must be afterwards: its value and who wrote it; null where nobody did. */
function expectedBytes(steps: readonly Operation[]): (string | null)[] {
  const bytes: (string | null)[] = Array.from({ length: diskBytes }, () => null)
  for (const step of steps) {
    const extent = extentOf(step)
    const value = step.kind === 'write' ? `data ${step.fill}` : step.kind
    bytes.fill(value, extent.byteOffset, extentEnd(extent))
  }
  return bytes
}

function kindOf(extent: FoldedExtent): string {
  if (extent.kind === 'data') return 'data'
  return extent.mayUnmap ? 'unmap' : 'zero'
}

describe('ExtentMap', () => {
  test('each byte is that of the newest write or zeroing over it, and untouched bytes stay out (F1)', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const map = new ExtentMap()
        for (const step of steps) put(map, step)
        const found: (string | null)[] = Array.from({ length: diskBytes }, () => null)
        for (const extent of map.fold()) {
          const bytes = bytesOf(extent)
          expect(bytes.byteLength).toBe(extent.byteLength)
          for (const [index, byte] of bytes.entries()) {
            found[extent.byteOffset + index] = extent.kind === 'data' ? `data ${byte}` : kindOf(extent)
          }
        }
        expect(found).toEqual(expectedBytes(steps))
      }),
      { numRuns: runCount(500) },
    )
  })

  test('the result is disjoint, ascending, and neighbours of one kind are one extent (F2)', () => {
    fc.assert(
      fc.property(history, (steps) => {
        const map = new ExtentMap()
        for (const step of steps) put(map, step)
        let before: FoldedExtent | null = null
        for (const extent of map.fold()) {
          expect(extent.byteLength).toBeGreaterThan(0)
          if (before !== null) {
            expect(extent.byteOffset).toBeGreaterThanOrEqual(extentEnd(before))
            const touches = extent.byteOffset === extentEnd(before)
            if (touches) expect(kindOf(extent)).not.toBe(kindOf(before))
          }
          before = extent
        }
      }),
      { numRuns: runCount(300) },
    )
  })

  test('folding in parts and then the parts gives the same bytes: windows may end anywhere', () => {
    fc.assert(
      fc.property(history, fc.nat(60), (steps, cut) => {
        const parts = [steps.slice(0, cut), steps.slice(cut)]
        const image = new ByteModel(Buffer.alloc(diskBytes, 0x55))
        const whole = new ExtentMap()
        for (const part of parts) {
          const map = new ExtentMap()
          for (const step of part) put(map, step)
          const folded = map.fold()
          const payload = Buffer.concat(
            folded.flatMap((extent) => (extent.kind === 'data' ? extent.data : [])),
          )
          image.applySet(folded, payload)
          whole.putSet(folded, payload)
        }
        const expected = expectedBytes(steps).map((value) => {
          if (value === null) return 0x55
          return value.startsWith('data') ? Number(value.slice(5)) : 0
        })
        expect([...image.bytes]).toEqual(expected)
        const again = new ByteModel(Buffer.alloc(diskBytes, 0x55))
        const folded = whole.fold()
        again.applySet(
          folded,
          Buffer.concat(folded.flatMap((extent) => (extent.kind === 'data' ? extent.data : []))),
        )
        expect(again.bytes.equals(image.bytes)).toBe(true)
      }),
      { numRuns: runCount(300) },
    )
  })

  test('copies nothing, and sequential writes out of one buffer come back as one view of it (F3)', () => {
    const payload = Buffer.from('abcdefgh')
    const map = new ExtentMap()
    map.write(100, payload.subarray(0, 4))
    map.write(104, payload.subarray(4, 8))
    const [extent] = map.fold()
    expect(extent).toMatchObject({ kind: 'data', byteOffset: 100, byteLength: 8 })
    payload.write('X')
    expect(bytesOf(extent!).toString()).toBe('Xbcdefgh')
  })

  test('folds 64 Ki scattered, overlapping writes in well under a second', () => {
    const map = new ExtentMap()
    const block = Buffer.alloc(4096)
    for (let index = 0; index < 65_536; index += 1) map.write(((index * 7919) % 50_000) * 2048, block)
    const startedAt = process.hrtime.bigint()
    const folded = map.fold()
    const tookMs = Number(process.hrtime.bigint() - startedAt) / 1e6
    expect(folded.length).toBeGreaterThan(0)
    expect(tookMs).toBeLessThan(2000)
  })
})
