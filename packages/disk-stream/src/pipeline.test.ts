import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Verdict } from './apply-rule.ts'
import type { FoldedSet } from './folding-run.ts'
import type { Position } from './position.ts'
import type { WriteGroup } from './records.ts'
import type { Choose } from './testing/choose.ts'
import { chooseFromTape, runCount } from './testing/choose.ts'
import { modelDiskBytes, ModelSource } from './testing/model-source.ts'
import { ModelTarget } from './testing/model-target.ts'
import type { StreamModel } from './testing/stream-model.ts'
import { DiskWindow } from './window.ts'

/** From the source's stream to the target's bytes, with everything between that may repeat, lose or reorder. */

const tapeArbitrary = fc.array(fc.nat(0xffff), { minLength: 100, maxLength: 900, size: 'max' })

/** What the shipper produced: in order, but with losses, late duplicates, and re-sends from earlier points. */
function wireOf(model: StreamModel, choose: Choose): readonly WriteGroup[] {
  const wire: WriteGroup[] = []
  for (const { number } of model.generations) {
    for (const group of model.groups(number, { from: 1, choose })) {
      if (choose(25) !== 1) wire.push(group)
      if (choose(8) === 1) wire.push(...lateDuplicates(wire, choose))
      const resend = choose(20) === 1
      if (resend) {
        const from = 1 + choose(group.firstSequence)
        wire.push(...model.groups(number, { from, choose, resend: true }).slice(0, 1 + choose(4)))
      }
    }
  }
  return wire
}

function lateDuplicates(wire: readonly WriteGroup[], choose: Choose): readonly WriteGroup[] {
  const from = choose(wire.length)
  return wire.slice(from, from + 1 + choose(5))
}

/** One life of an aggregator: a fresh window over a part of the input. */
function aggregate(wire: readonly WriteGroup[], choose: Choose): readonly FoldedSet[] {
  const window = new DiskWindow('vda', { bytesMax: 8 + choose(200), eventsMax: 1 + choose(40), ageMsMax: 20 })
  const sets: FoldedSet[] = []
  let nowMs = 0
  for (const [index, group] of wire.entries()) {
    nowMs += choose(12)
    const due = choose(2) === 0 ? window.closeDue(nowMs) : null
    if (due !== null) sets.push(due)
    const payload = Buffer.from(group.payload)
    const outcome = window.offer({ ...group, payload }, { nowMs, inputOffset: BigInt(index) })
    payload.fill(0xee) // A3: fetch buffers are reused
    expect(outcome.refused).toBeNull()
    sets.push(...outcome.closed)
  }
  const last = window.close('shutdown')
  return last === null ? sets : [...sets, last]
}

/** An aggregator's output over several lives; each resumes at or before where the last one stopped (K4). */
function outputOf(wire: readonly WriteGroup[], choose: Choose): readonly FoldedSet[] {
  const sets: FoldedSet[] = []
  let from = choose(2) === 0 ? 0 : choose(wire.length + 1)
  for (let lives = 1 + choose(3); lives > 0; lives -= 1) {
    const to = lives === 1 ? wire.length : from + choose(wire.length - from + 1)
    sets.push(...aggregate(wire.slice(from, to), choose))
    from = Math.max(0, to - choose(8))
  }
  return sets
}

/** Two aggregators' outputs in one partition, and a mirror that repeats a stretch of it. */
function mirrored(outputs: readonly (readonly FoldedSet[])[], choose: Choose): readonly FoldedSet[] {
  const queues = outputs.map((output) => [...output])
  const merged: FoldedSet[] = []
  while (queues.some((queue) => queue.length > 0)) {
    const left = queues.filter((queue) => queue.length > 0)
    const queue = left[choose(left.length)]!
    merged.push(...queue.splice(0, 1 + choose(6)))
    if (choose(10) === 1) merged.push(...merged.slice(-1 - choose(6)))
  }
  return merged
}

function expectModelBytes(target: ModelTarget, model: StreamModel): void {
  if (target.resyncing || target.applied === null) return
  expect(target.image.bytes.equals(model.bytesAt(target.applied))).toBe(true)
}

/**
 * All of this is one honest history: nothing of it may look like another writer's, except that the table calls
 * a continuation of a generation of which nothing ever arrived SPLIT_BRAIN (S9, last row).
 */
function honestCodes(set: FoldedSet, applied: Position | null): readonly string[] {
  const { base, predecessor } = set.generation
  const unseen = base.kind === 'none' && predecessor!.generation > (applied?.generation ?? 0)
  return unseen ? ['GAP', 'SPLIT_BRAIN'] : ['GAP', 'BASE_BEHIND']
}

/** Every outcome seen, so that the property cannot pass by never meeting the hard cases. */
const met = new Set<string>()

function nameOf(verdict: Verdict): string {
  if (verdict.kind === 'accept') return `accept ${verdict.transition}`
  if (verdict.kind === 'drop') return `drop ${verdict.reason}`
  return verdict.kind === 'halt' ? `halt ${verdict.code}` : verdict.kind
}

function deliver(sets: readonly FoldedSet[], target: ModelTarget, model: StreamModel): Verdict | null {
  let last: Verdict | null = null
  for (const set of sets) {
    const before = target.applied
    last = target.take(set)
    met.add(nameOf(last))
    if (last.kind === 'accept') {
      const { applied } = target
      expect(applied).toEqual(model.positionAt(set.generation.number, set.lastSequence))
      const sameGeneration = before?.generation === applied?.generation
      if (sameGeneration) expect(applied!.sequence).toBeGreaterThan(before!.sequence)
      expectModelBytes(target, model)
    } else {
      expect(target.applied).toEqual(before)
      if (last.kind === 'halt') expect(honestCodes(set, before)).toContain(last.code)
    }
  }
  return last
}

/** The tap's answer to what a halted (or starved) target wants, to the end of the stream. */
function answer(source: ModelSource, target: ModelTarget, verdict: Verdict | null): readonly WriteGroup[] {
  const { model } = source
  if (verdict?.kind === 'halt' && verdict.wanted.kind === 'digestResync') {
    source.startFullResync()
    source.finish()
    return model.groups(model.end.generation, { from: 1, choose: () => 3 })
  }
  const wanted = verdict?.kind === 'halt' && verdict.wanted.kind === 'resend' ? verdict.wanted : null
  const number = wanted?.generation ?? target.applied?.generation ?? 1
  const from = wanted?.fromSequence ?? (target.applied?.sequence ?? 0) + 1
  return model.generations
    .filter((generation) => generation.number >= number)
    .flatMap((generation) => {
      const start = generation.number === number ? from : 1
      return model.groups(generation.number, { from: start, choose: () => 4, resend: true })
    })
}

function drain(source: ModelSource, target: ModelTarget): number {
  let rounds = 0
  let verdict: Verdict | null = null
  const atEnd = (): boolean =>
    target.applied?.generation === source.model.end.generation &&
    target.applied.sequence === source.model.end.sequence
  for (; !atEnd() && rounds < 12; rounds += 1) {
    const sets = aggregate(answer(source, target, verdict), () => 1)
    // The first halt is what the target asks about; what follows it is only read on.
    verdict = null
    for (const set of sets) {
      const judged = deliver([set], target, source.model)
      if (judged?.kind === 'halt') verdict ??= judged
    }
  }
  expect(atEnd()).toBe(true)
  return rounds
}

describe('from source to target', () => {
  test('after every accepted set the target equals the source at the position claimed, and it always drains', () => {
    fc.assert(
      fc.property(tapeArbitrary, (tape) => {
        const choose = chooseFromTape(tape)
        const source = new ModelSource(choose)
        for (let steps = 20 + choose(100); steps > 0; steps -= 1) source.step()
        source.finish()
        const wire = wireOf(source.model, choose)
        const outputs = [outputOf(wire, choose), outputOf(wire, choose)].slice(0, 1 + choose(2))
        const target = new ModelTarget(Buffer.alloc(modelDiskBytes, 0x55))
        deliver(mirrored(outputs, choose), target, source.model)
        drain(source, target)
        expect(target.resyncing).toBe(false)
        expect(target.image.bytes.equals(source.model.source.bytes)).toBe(true)
      }),
      { numRuns: runCount(400) },
    )
    const hard = ['accept none', 'accept switch', 'accept resync', 'drop duplicate', 'drop stale-writer']
    for (const outcome of [...hard, 'halt GAP', 'halt BASE_BEHIND']) expect(met).toContain(outcome)
  })
})
