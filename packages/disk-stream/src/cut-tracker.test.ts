import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CutOutcome } from './cut-tracker.ts'
import { CutTracker } from './cut-tracker.ts'
import type { RecoveryPointEvent } from './event.ts'
import type { Position } from './position.ts'
import { chooseFromTape, runCount } from './testing/choose.ts'
import { modelId, recoveryPoint } from './testing/model-source.ts'

const members = ['a', 'b', 'c']

/** A tracker of a disk alone, after its first cut. */
function alone(): { readonly tracker: CutTracker; readonly show: () => CutOutcome } {
  const tracker = new CutTracker()
  return { tracker, show: () => tracker.observe('vda', { cut: cut(1, ['vda']), position: at(1) }) }
}

function cut(number: number, of: readonly string[] = members): RecoveryPointEvent {
  return recoveryPoint({ cutId: modelId(number), groupId: 'db', members: of, capturedAtMs: number })
}

function at(sequence: number, generation = 1): Position {
  return { generation, generationId: modelId(generation), sequence, chain: sequence }
}

function see(tracker: CutTracker, diskId: string, number: number) {
  return tracker.observe(diskId, { cut: cut(number), position: at(number) })
}

function voidedBy(outcome: { readonly voided: readonly RecoveryPointEvent[] }): string[] {
  return outcome.voided.map(({ cutId }) => cutId)
}

describe('CutTracker', () => {
  test('a disk alone is a group of one: each of its cuts is complete at once', () => {
    const { tracker, show } = alone()
    expect(show().completed?.cut.cutId).toBe(modelId(1))
    expect(tracker.newestCompleteCut()?.positions.get('vda')).toEqual(at(1))
  })

  test('a cut is complete when the last member shows it, with each member’s position (P1)', () => {
    const tracker = new CutTracker()
    see(tracker, 'a', 1)
    see(tracker, 'b', 1)
    expect(tracker.newestCompleteCut()).toBeNull()
    const { completed } = see(tracker, 'c', 1)
    expect([...completed!.positions.keys()].toSorted()).toEqual(members)
    expect(tracker.newestCompleteCut()).toBe(completed)
    expect(tracker.pendingCount).toBe(0)
  })

  test('a member that passes a later cut without an earlier one makes the earlier one void (P2)', () => {
    const tracker = new CutTracker()
    see(tracker, 'a', 1)
    see(tracker, 'b', 1)
    see(tracker, 'a', 2)
    expect(voidedBy(see(tracker, 'c', 2))).toEqual([modelId(1)])
    expect(see(tracker, 'b', 2).completed?.cut.cutId).toBe(modelId(2))
    expect(tracker.voidCount).toBe(1)
  })

  test('a cut first seen after another may still be the earlier one: nothing is void before that is known', () => {
    const tracker = new CutTracker()
    see(tracker, 'a', 2)
    expect(see(tracker, 'b', 1).voided).toEqual([])
    expect(voidedBy(see(tracker, 'b', 2))).toEqual([modelId(1)])
    expect(see(tracker, 'c', 2).completed?.cut.cutId).toBe(modelId(2))
  })

  test('a member that enters another generation without a cut makes it void; later cuts are kept (S6)', () => {
    const tracker = new CutTracker()
    for (const number of [1, 9]) for (const diskId of ['a', 'b']) see(tracker, diskId, number)
    expect(voidedBy(tracker.enterGeneration('c', 5))).toEqual([modelId(1)])
    const late = tracker.observe('c', { cut: cut(9), position: at(3, 2) })
    expect(late.completed?.positions.get('c')).toEqual(at(3, 2))
  })

  test('what is void is never offered, even if its last member shows it after all (P3)', () => {
    const tracker = new CutTracker()
    see(tracker, 'a', 1)
    see(tracker, 'b', 1)
    tracker.enterGeneration('c', 5)
    expect(see(tracker, 'c', 1).completed).toBeNull()
    expect(tracker.newestCompleteCut()).toBeNull()
    expect(tracker.voidCount).toBe(1)
  })

  test('a repeated mark is ignored', () => {
    const { tracker, show } = alone()
    show()
    expect(show()).toEqual({ completed: null, voided: [] })
    expect(tracker.completeCount).toBe(1)
  })

  test('is bounded: beyond its limit the oldest incomplete cut is void', () => {
    const tracker = new CutTracker({ pendingMax: 3 })
    for (let number = 1; number <= 10; number += 1) see(tracker, 'a', number)
    expect([tracker.pendingCount, tracker.voidCount]).toEqual([3, 7])
  })

  test('whatever is missing and however the members’ streams interleave: complete is what all have, in order', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(0xffff), { minLength: 50, maxLength: 200, size: 'max' }), (tape) => {
        const choose = chooseFromTape(tape)
        const numbers = Array.from({ length: 3 + choose(20) }, (_, index) => index + 1)
        const streams = new Map(members.map((id) => [id, numbers.filter(() => choose(6) !== 1)]))
        const queues = new Map([...streams].map(([id, stream]) => [id, [...stream]]))
        const tracker = new CutTracker()
        const completed: string[] = []
        const voided: string[] = []
        for (;;) {
          const left = members.filter((id) => queues.get(id)!.length > 0)
          if (left.length === 0) break
          const diskId = left[choose(left.length)]!
          const outcome = see(tracker, diskId, queues.get(diskId)!.shift()!)
          if (outcome.completed !== null) completed.push(outcome.completed.cut.cutId)
          voided.push(...voidedBy(outcome))
        }
        const whole = numbers.filter((number) => members.every((id) => streams.get(id)!.includes(number)))
        const newest = whole.at(-1) ?? 0
        const partial = numbers.filter((number) => !whole.includes(number))
        const seen = partial.filter((number) => members.some((id) => streams.get(id)!.includes(number)))
        expect(completed).toEqual(whole.map(modelId))
        const passed = seen.filter((number) => number < newest).map(modelId)
        expect(voided).toEqual(expect.arrayContaining(passed))
        expect(new Set(voided).size).toBe(voided.length)
        expect(seen.map(modelId)).toEqual(expect.arrayContaining(voided))
        expect(tracker.voidCount + tracker.pendingCount).toBe(seen.length)
      }),
      { numRuns: runCount(300) },
    )
  })
})
