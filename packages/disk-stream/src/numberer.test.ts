import type { Clock } from '@blockferry/runtime'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { advanceChain, initialChain } from './chain.ts'
import { anchorSourceTime, StreamNumberer } from './numberer.ts'
import { modelId } from './testing/model-source.ts'

const generation = { number: 3, id: modelId(3) }

function done(capturedAtMs: number): { readonly kind: 'resyncDone'; readonly capturedAtMs: number } {
  return { kind: 'resyncDone', capturedAtMs }
}

describe('StreamNumberer', () => {
  test('numbers 1, 2, 3 … and chains each event', () => {
    const numberer = new StreamNumberer(generation)
    expect(numberer.position).toMatchObject({
      generation: 3,
      sequence: 0,
      chain: initialChain(generation.id),
    })
    const one = numberer.number(done(10))
    const two = numberer.number(done(20))
    expect([one.sequence, two.sequence]).toEqual([1, 2])
    expect(two.chain).toBe(advanceChain(one.chain, { sequence: 2, event: two.event }))
    expect(numberer.position).toEqual({
      generation: 3,
      generationId: generation.id,
      sequence: 2,
      chain: two.chain,
    })
  })

  test('what was rolled back had no number: the next event is numbered as if it had never been (N1)', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1000)), fc.array(fc.nat(1000)), fc.nat(1000), (kept, lost, after) => {
        const numberer = new StreamNumberer(generation)
        const clean = new StreamNumberer(generation)
        for (const time of kept) expect(numberer.number(done(time))).toEqual(clean.number(done(time)))
        const point = numberer.point()
        for (const time of lost) numberer.number(done(time))
        numberer.rollBack(point)
        expect(numberer.number(done(after))).toEqual(clean.number(done(after)))
      }),
    )
  })

  test('captured times never decrease, across a restart too, and are whole ms (N2)', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 }), (times) => {
        let numberer = new StreamNumberer(generation)
        let before = 0
        for (const time of times) {
          const { capturedAtMs } = numberer.number(done(time)).event
          expect(capturedAtMs).toBe(Math.max(before, Math.floor(time)))
          before = capturedAtMs
          numberer = new StreamNumberer(generation, numberer.point())
        }
      }),
    )
  })
})

test('source time follows the monotonic clock, whatever the wall clock does later (S3)', () => {
  let wall = 1_000_000.5
  let monotonic = 50.25
  const clock: Clock = { wallMs: () => wall, monotonicMs: () => monotonic, sleep: () => Promise.resolve() }
  const now = anchorSourceTime(clock)
  wall = 5
  monotonic = 60.25
  expect(now()).toBe(1_000_010)
})
