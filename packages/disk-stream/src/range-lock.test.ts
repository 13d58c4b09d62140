import { KiB, MiB } from '@blockferry/runtime'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Extent } from './event.ts'
import { extentsOverlap } from './extent.ts'
import type { RangeHold } from './range-lock.ts'
import { RangeLock } from './range-lock.ts'
import { runCount } from './testing/choose.ts'

interface Asked {
  readonly extent: Extent
  hold: RangeHold | null
  released: boolean
}

/** Lets every resolved promise run; there are no timers to wait for (E4). */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 3; turns += 1) await Promise.resolve()
}

/** Who must hold: those that overlap nobody unreleased who asked before. */
function mustHold(asked: readonly Asked[], index: number): boolean {
  const mine = asked[index]!
  return !asked.slice(0, index).some((other) => !other.released && extentsOverlap(other.extent, mine.extent))
}

const extent = fc.oneof(
  fc.record({ byteOffset: fc.nat(40), byteLength: fc.integer({ min: 1, max: 12 }) }),
  fc.record({
    byteOffset: fc.nat(4).map((at) => at * MiB - (at > 0 ? 2 * KiB : 0)),
    byteLength: fc.constantFrom(4 * KiB, 1 * MiB, 3 * MiB, 100 * MiB),
  }),
)
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('acquire' as const), extent }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('release' as const), which: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('try' as const), extent }) },
)

describe('RangeLock', () => {
  test('overlapping requests hold one after another in the order asked; disjoint ones together (E1–E3)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
        const lock = new RangeLock()
        const asked: Asked[] = []
        for (const next of steps) {
          if (next.kind === 'acquire') {
            const entry: Asked = { extent: next.extent, hold: null, released: false }
            asked.push(entry)
            void lock.acquire(next.extent).then((hold) => {
              entry.hold = hold
            })
          } else if (next.kind === 'try') {
            const hold = lock.tryAcquire(next.extent)
            const entry = { extent: next.extent, hold, released: false }
            expect(hold !== null).toBe(mustHold([...asked, entry], asked.length))
            if (hold !== null) asked.push(entry)
          } else {
            const held = asked.filter((entry) => entry.hold !== null && !entry.released)
            const entry = held[next.which % Math.max(1, held.length)]
            if (entry === undefined) continue
            entry.released = true
            entry.hold!.release()
          }
          await settle()
          for (const [index, entry] of asked.entries()) {
            if (!entry.released) expect(entry.hold !== null).toBe(mustHold(asked, index))
          }
          expect(lock.outstanding).toBe(asked.filter((entry) => !entry.released).length)
        }
      }),
      { numRuns: runCount(150) },
    )
  })

  test('serves thousands of outstanding requests, all overlapping and none, quickly', async () => {
    const lock = new RangeLock()
    const order: number[] = []
    const holds = Array.from({ length: 2000 }, (_, index) =>
      lock.acquire({ byteOffset: 0, byteLength: 4096 }).then((hold) => {
        order.push(index)
        hold.release()
      }),
    )
    const disjoint = Array.from({ length: 4000 }, (_, index) =>
      lock.tryAcquire({ byteOffset: (index + 1) * 4096, byteLength: 4096 }),
    )
    expect(disjoint.every((hold) => hold !== null)).toBe(true)
    for (const hold of disjoint) hold?.release()
    await Promise.all(holds)
    expect(order).toEqual(order.toSorted((a, b) => a - b))
    expect(lock.outstanding).toBe(0)
  })

  test('a hold is released once', () => {
    const hold = new RangeLock().tryAcquire({ byteOffset: 0, byteLength: 1 })!
    hold.release()
    expect(() => hold.release()).toThrow('released once')
  })
})
