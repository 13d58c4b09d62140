import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JudgeContext, Verdict } from './apply-rule.ts'
import { judge } from './apply-rule.ts'
import { initialChain } from './chain.ts'
import type { Generation, GenerationBase } from './generation.ts'
import type { Lineage, SetHeader } from './lineage.ts'
import { accept, emptyLineage, noteStamp, pastGenerationsMax } from './lineage.ts'
import type { Position } from './position.ts'
import { runCount } from './testing/choose.ts'
import { modelId } from './testing/model-source.ts'

/** The rows of S9, one test each; the names repeat the table. */

function generation(number: number, options: Partial<Generation> = {}): Generation {
  return {
    number,
    id: modelId(number),
    ownerSite: 'site-a',
    reason: 'resync',
    base: { kind: 'full' },
    predecessor: null,
    stamp: { agentId: 'agent', counter: 10 },
    ...options,
  }
}

/** A made-up chain that depends on generation and sequence only. */
function chainOf(of: Generation, sequence: number): number {
  return sequence === 0 ? initialChain(of.id) : of.number * 1000 + sequence
}

function at(of: Generation, sequence: number): Position {
  return { generation: of.number, generationId: of.id, sequence, chain: chainOf(of, sequence) }
}

function set(
  of: Generation,
  [first, last]: readonly [number, number],
  joints: readonly number[] = [],
): SetHeader {
  return {
    generation: of,
    firstSequence: first,
    lastSequence: last,
    chainBefore: chainOf(of, first - 1),
    chainAfter: chainOf(of, last),
    joints: [...joints, last].map((sequence) => ({ sequence, chain: chainOf(of, sequence) })),
  }
}

const owned: JudgeContext = {
  descriptor: { ownerSite: 'site-a', generation: 1, generationId: modelId(1) },
  ownerWaitExpired: false,
}

const first = generation(1)
const second = generation(2)

/** A target that took generation 1 to 20, then generation 2 to 10. */
const standing: Lineage = accept(accept(emptyLineage, set(first, [1, 20])), set(second, [1, 10]))

function verdictOn(arriving: SetHeader, context: Partial<JudgeContext> = {}): Verdict {
  return judge(standing, arriving, { ...owned, ...context })
}

function halted(verdict: Verdict): { readonly code: string; readonly wanted: unknown } {
  expect(verdict.kind).toBe('halt')
  return verdict as Verdict & { kind: 'halt' }
}

function third(options: Partial<Generation>): SetHeader {
  return set(generation(3, options), [1, 5])
}

const digest = { kind: 'digestResync' }
const operator = { kind: 'operator' }
const fromEleven = { kind: 'resend', generation: 2, generationId: modelId(2), fromSequence: 11 }

describe('S9, same generation', () => {
  test.each([
    ['before', { ...set(second, [11, 20]), chainBefore: 1 }],
    ['at a joint', { ...set(second, [5, 20]), joints: [{ sequence: 10, chain: 1 }] }],
    ['after', { ...set(second, [5, 10]), chainAfter: 1 }],
  ])('a chain it has at applied differs (%s): HALTED(DIVERGED)', (_, arriving) => {
    expect(halted(verdictOn(arriving))).toMatchObject({ code: 'DIVERGED', wanted: digest })
  })

  test('lastSequence at or below applied: duplicate, dropped', () => {
    for (const last of [1, 9, 10]) {
      expect(verdictOn(set(second, [1, last]))).toEqual({ kind: 'drop', reason: 'duplicate' })
    }
  })

  test('it has a chain at applied, before its first event: accepted whole', () => {
    expect(verdictOn(set(second, [11, 12]))).toEqual({ kind: 'accept', transition: 'none' })
  })

  test('it has a chain at applied, at a joint: accepted whole', () => {
    expect(verdictOn(set(second, [3, 12], [7, 10]))).toEqual({ kind: 'accept', transition: 'none' })
  })

  test('it starts beyond applied: HALTED(GAP), re-send from applied + 1', () => {
    expect(halted(verdictOn(set(second, [12, 14])))).toMatchObject({ code: 'GAP', wanted: fromEleven })
  })

  test('it reaches over applied without a joint there: HALTED(GAP), re-send from applied + 1', () => {
    expect(halted(verdictOn(set(second, [3, 12], [7, 9])))).toMatchObject({ code: 'GAP', wanted: fromEleven })
  })
})

describe('S9, older generation', () => {
  test('at or before the switch point: duplicate, dropped', () => {
    expect(verdictOn(set(first, [15, 20]))).toEqual({ kind: 'drop', reason: 'duplicate' })
  })

  test.each([
    ['starting beyond', set(first, [21, 25])],
    ['reaching beyond', set(first, [15, 21])],
    ['another id', set(generation(1, { id: modelId(77) }), [1, 5])],
  ])('beyond the switch point (%s): stale writer, dropped and reported', (_, arriving) => {
    expect(verdictOn(arriving)).toEqual({ kind: 'drop', reason: 'stale-writer' })
  })

  test('one that this target skipped is a stale writer’s; one it has forgotten is a duplicate', () => {
    let lineage = accept(emptyLineage, set(first, [1, 2]))
    for (let number = 3; number < 3 + pastGenerationsMax; number += 1) {
      lineage = accept(lineage, set(generation(number), [1, 2]))
    }
    expect(judge(lineage, set(generation(2), [1, 2]), owned)).toMatchObject({ reason: 'stale-writer' })
    lineage = accept(lineage, set(generation(3 + pastGenerationsMax), [1, 2]))
    expect(lineage.past).toHaveLength(pastGenerationsMax)
    expect(judge(lineage, set(first, [1, 2]), owned)).toMatchObject({ reason: 'duplicate' })
    // A checkpoint of a version that remembered more.
    const [oldest] = lineage.past
    const longer = { ...lineage, past: [{ ...oldest!, number: 2, id: modelId(2) }, ...lineage.past] }
    expect(judge(longer, set(first, [1, 2]), owned)).toMatchObject({ reason: 'duplicate' })
    expect(accept(longer, set(generation(99), [1, 2])).past).toHaveLength(pastGenerationsMax)
  })
})

describe('S9, whose generation', () => {
  test('equal number, other id: HALTED(SPLIT_BRAIN)', () => {
    const twin = set(generation(2, { id: modelId(99) }), [1, 5])
    expect(halted(verdictOn(twin))).toMatchObject({ code: 'SPLIT_BRAIN', wanted: operator })
  })

  test('newer, but the descriptor names another owner: waits, then HALTED(SPLIT_BRAIN)', () => {
    const foreign = third({ ownerSite: 'site-b' })
    expect(verdictOn(foreign)).toEqual({ kind: 'waitForOwner', ownerSite: 'site-b' })
    expect(halted(verdictOn(foreign, { ownerWaitExpired: true }))).toMatchObject({ code: 'SPLIT_BRAIN' })
  })

  test('newer, and no descriptor was seen yet: waits, then HALTED(SPLIT_BRAIN)', () => {
    expect(verdictOn(third({}), { descriptor: null }).kind).toBe('waitForOwner')
    const expired = verdictOn(third({}), { descriptor: null, ownerWaitExpired: true })
    expect(halted(expired)).toMatchObject({ code: 'SPLIT_BRAIN' })
  })

  test('newer, and the descriptor of that very generation names another owner: no need to wait', () => {
    const descriptor = { ownerSite: 'site-b', generation: 3, generationId: modelId(3) }
    expect(halted(verdictOn(third({}), { descriptor }))).toMatchObject({ code: 'SPLIT_BRAIN' })
  })

  test('newer, and the descriptor gives that number another id: HALTED(SPLIT_BRAIN)', () => {
    const descriptor = { ownerSite: 'site-a', generation: 3, generationId: modelId(44) }
    expect(halted(verdictOn(third({}), { descriptor }))).toMatchObject({ code: 'SPLIT_BRAIN' })
  })
})

describe('S9, a newer generation’s beginning', () => {
  test('firstSequence is not 1: HALTED(GAP), re-send from its first', () => {
    const wanted = { kind: 'resend', generation: 3, generationId: modelId(3), fromSequence: 1 }
    expect(halted(verdictOn(set(generation(3), [4, 6])))).toMatchObject({ code: 'GAP', wanted })
  })

  test('the chain before its first event is not that of its id: HALTED(DIVERGED)', () => {
    expect(halted(verdictOn({ ...third({}), chainBefore: 5 }))).toMatchObject({ code: 'DIVERGED' })
  })
})

const onApplied: GenerationBase = { kind: 'position', position: at(second, 10) }

describe('S9, newer that starts a resync', () => {
  test('base = full: accepted, RESYNCING, whatever the stamp', () => {
    const reverted = third({ stamp: { agentId: 'agent', counter: 1 } })
    expect(verdictOn(reverted)).toEqual({ kind: 'accept', transition: 'resync' })
    expect(judge(emptyLineage, set(first, [1, 2]), owned)).toEqual({ kind: 'accept', transition: 'resync' })
  })

  test('its agent’s stamp is lower than one seen here: HALTED(SOURCE_REVERTED)', () => {
    const reverted = third({ base: onApplied, stamp: { agentId: 'agent', counter: 9 } })
    expect(halted(verdictOn(reverted))).toMatchObject({ code: 'SOURCE_REVERTED', wanted: digest })
  })

  test('a stamp seen in a heartbeat counts against the generations after the one it named, only', () => {
    const lineage = noteStamp(standing, { agentId: 'agent', counter: 50, generation: 3 })
    const stamp = { agentId: 'agent', counter: 49 }
    const old = set(generation(4, { base: onApplied, stamp }), [1, 5])
    expect(halted(judge(lineage, old, owned)).code).toBe('SOURCE_REVERTED')
    expect(judge(lineage, third({ base: onApplied, stamp }), owned).kind).toBe('accept')
  })

  test('base in this lineage and applied at or beyond it: accepted, RESYNCING', () => {
    for (const position of [at(second, 10), at(second, 4), at(second, 0), at(first, 20), at(first, 3)]) {
      const arriving = third({ base: { kind: 'position', position } })
      expect(verdictOn(arriving)).toEqual({ kind: 'accept', transition: 'resync' })
    }
  })

  test.each([
    ['beyond applied', at(second, 11)],
    ['beyond what was taken of an older generation', at(first, 21)],
    ['of a foreign generation', at(generation(2, { id: modelId(98) }), 3)],
    ['another chain at applied', { ...at(second, 10), chain: 7 }],
  ])('any other base (%s): HALTED(BASE_BEHIND)', (_, position) => {
    const arriving = third({ base: { kind: 'position', position } })
    expect(halted(verdictOn(arriving))).toMatchObject({ code: 'BASE_BEHIND', wanted: digest })
  })
})

const continues = { base: { kind: 'none' }, reason: 'owner-changed' } as const

describe('S9, newer without resync', () => {
  test('predecessor = applied: switch, continue', () => {
    const arriving = third({ ...continues, predecessor: at(second, 10) })
    expect(verdictOn(arriving)).toEqual({ kind: 'accept', transition: 'switch' })
  })

  test('predecessor in this lineage, beyond applied: HALTED(GAP), re-send from applied + 1', () => {
    const arriving = third({ ...continues, predecessor: at(second, 12) })
    expect(halted(verdictOn(arriving))).toMatchObject({ code: 'GAP', wanted: fromEleven })
  })

  test.each([
    ['behind applied', at(second, 9)],
    ['another chain at applied', { ...at(second, 10), chain: 7 }],
    ['a generation already left', at(first, 20)],
    ['a foreign generation', at(generation(2, { id: modelId(98) }), 10)],
    ['none at all', null],
  ])('otherwise (predecessor: %s): HALTED(SPLIT_BRAIN)', (_, predecessor) => {
    const arriving = third({ ...continues, predecessor })
    expect(halted(verdictOn(arriving))).toMatchObject({ code: 'SPLIT_BRAIN', wanted: operator })
  })
})

describe('every case of a generation switch at once', () => {
  const bases = [
    ['none', { kind: 'none' }],
    ['full', { kind: 'full' }],
    ['held', { kind: 'position', position: at(second, 7) }],
    ['foreign', { kind: 'position', position: at(generation(2, { id: modelId(98) }), 7) }],
    ['beyond', { kind: 'position', position: at(second, 11) }],
  ] as const
  const predecessors = [
    ['equal', at(second, 10)],
    ['beyond', at(second, 11)],
    ['foreign', at(generation(2, { id: modelId(98) }), 10)],
  ] as const
  const stamps = [
    ['lower', 9],
    ['equal', 10],
    ['higher', 11],
  ] as const

  /** The table again, read from its other side: which outcome each combination must have. */
  function expected(base: string, predecessor: string, stamp: string): string {
    if (base === 'full') return 'resync'
    if (base === 'none') return { equal: 'switch', beyond: 'GAP', foreign: 'SPLIT_BRAIN' }[predecessor]!
    if (stamp === 'lower') return 'SOURCE_REVERTED'
    return base === 'held' ? 'resync' : 'BASE_BEHIND'
  }

  const cases = bases.flatMap(([baseName, base]) =>
    predecessors.flatMap(([predecessorName, predecessor]) =>
      stamps.map(([stampName, counter]) => ({
        name: [baseName, predecessorName, stampName] as const,
        arriving: third({ base, predecessor, stamp: { agentId: 'agent', counter } }),
      })),
    ),
  )

  test.each(cases)('base, predecessor, stamp = $name', ({ name, arriving }) => {
    const verdict = verdictOn(arriving)
    const outcome = verdict.kind === 'accept' ? verdict.transition : halted(verdict).code
    expect(outcome).toBe(expected(...name))
  })
})

describe('two histories with equal numbers (S1)', () => {
  test('once they differ, no set of the other one is ever accepted', () => {
    const numbers = fc.record({
      applied: fc.integer({ min: 1, max: 30 }),
      forkedAt: fc.integer({ min: 1, max: 30 }),
      first: fc.integer({ min: 1, max: 30 }),
      length: fc.integer({ min: 1, max: 30 }),
      jointEvery: fc.integer({ min: 1, max: 5 }),
    })
    fc.assert(
      fc.property(numbers, ({ applied, forkedAt, first: from, length, jointEvery }) => {
        const here = accept(emptyLineage, set(first, [1, applied]))
        const other = (sequence: number): number => chainOf(first, sequence) + (sequence >= forkedAt ? 1 : 0)
        const last = from + length - 1
        const joints: number[] = []
        for (let joint = from; joint < last; joint += jointEvery) joints.push(joint)
        const arriving: SetHeader = {
          ...set(first, [from, last]),
          chainBefore: other(from - 1),
          chainAfter: other(last),
          joints: [...joints, last].map((sequence) => ({ sequence, chain: other(sequence) })),
        }
        const verdict = judge(here, arriving, owned)
        if (forkedAt <= applied) expect(verdict.kind).not.toBe('accept')
        const known = [from - 1, ...joints, last].includes(applied)
        if (known && forkedAt <= applied) expect(verdict).toMatchObject({ code: 'DIVERGED' })
      }),
      { numRuns: runCount(300) },
    )
  })
})
