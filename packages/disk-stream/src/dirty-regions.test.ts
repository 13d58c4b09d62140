import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DirtyRegions, regionsMax } from './dirty-regions.ts'
import { extentEnd, totalBytes } from './extent.ts'
import { runCount } from './testing/choose.ts'

const sizeBytes = 1003
const regionBytes = 8
const geometry = { sizeBytes, regionBytes }
const operation = fc.record({
  kind: fc.constantFrom('mark', 'mark', 'clear', 'markAll', 'clearAll'),
  byteOffset: fc.nat(sizeBytes - 1),
  byteLength: fc.oneof(fc.nat(40), fc.nat(600)),
})
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never

function regionEnd(region: number): number {
  return Math.min((region + 1) * regionBytes, sizeBytes)
}

/** The model: a set of region numbers. */
function applyToSet(regions: Set<number>, step: Operation): void {
  const end = Math.min(step.byteOffset + step.byteLength, sizeBytes)
  for (let region = 0; region * regionBytes < sizeBytes; region += 1) {
    const start = region * regionBytes
    const touched = start < end && regionEnd(region) > step.byteOffset && end > step.byteOffset
    const inside = start >= step.byteOffset && regionEnd(region) <= end
    if (step.kind === 'markAll' || (step.kind === 'mark' && touched)) regions.add(region)
    if (step.kind === 'clearAll' || (step.kind === 'clear' && inside)) regions.delete(region)
  }
}

function applyTo(regions: DirtyRegions, step: Operation): void {
  const { byteOffset } = step
  const extent = { byteOffset, byteLength: Math.min(step.byteLength, sizeBytes - byteOffset) }
  if (step.kind === 'mark') regions.mark(extent)
  else if (step.kind === 'clear') regions.clear(extent)
  else regions[step.kind]()
}

describe('DirtyRegions', () => {
  test('marking widens, clearing shrinks, and everything it tells agrees with a set of regions (D1)', () => {
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 12 }),
        fc.integer({ min: 1, max: 200 }),
        (steps, bytesMax) => {
          const regions = new DirtyRegions(geometry)
          const model = new Set<number>()
          for (const step of steps) {
            applyTo(regions, step)
            applyToSet(model, step)
            expect(regions.dirtyCount).toBe(model.size)
          }
          const runs = [...regions.runs(bytesMax)]
          const found = new Set<number>()
          for (const run of runs) {
            expect(run.byteOffset % regionBytes).toBe(0)
            expect(run.byteLength).toBeLessThanOrEqual(Math.max(bytesMax, regionBytes))
            for (let at = run.byteOffset; at < extentEnd(run); at += regionBytes) found.add(at / regionBytes)
          }
          expect(found).toEqual(model)
          expect(regions.dirtyBytes).toBe(totalBytes(runs))
          for (let region = 0; region < regions.regionCount; region += 1) {
            expect(regions.isDirty(region * regionBytes)).toBe(model.has(region))
          }
          const again = DirtyRegions.fromBytes(regions.toBytes(), geometry)
          expect([...again.runs()]).toEqual([...regions.runs()])
          expect(again.dirtyCount).toBe(model.size)
        },
      ),
      { numRuns: runCount(150) },
    )
  })

  test('a copy is independent, and a union has what either has', () => {
    const one = new DirtyRegions(geometry)
    one.mark({ byteOffset: 0, byteLength: 1 })
    const copy = one.copy()
    copy.clearAll()
    copy.mark({ byteOffset: 1000, byteLength: 3 })
    expect(one.dirtyCount).toBe(1)
    one.union(copy)
    expect([...one.runs()]).toEqual([
      { byteOffset: 0, byteLength: 8 },
      { byteOffset: 1000, byteLength: 3 },
    ])
    expect(one.dirtyBytes).toBe(11)
  })

  test('bits beyond the last region are not taken over from a bitmap', () => {
    const bytes = new DirtyRegions(geometry).toBytes().fill(0xff)
    expect(DirtyRegions.fromBytes(bytes, geometry).dirtyCount).toBe(Math.ceil(sizeBytes / regionBytes))
  })

  test('is bounded, and an empty disk has no regions', () => {
    expect(() => new DirtyRegions({ sizeBytes: regionsMax * 8 + 1, regionBytes: 8 })).toThrow('at most')
    const empty = new DirtyRegions({ sizeBytes: 0, regionBytes: 8 })
    empty.markAll()
    expect([empty.dirtyBytes, empty.nextRun(0)]).toEqual([0, null])
  })
})
