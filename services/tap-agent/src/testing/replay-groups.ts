import { type Generation, initialChain, type Position, type WriteGroup } from '@blockferry/disk-stream'
import { assert } from '@blockferry/runtime'
import { applyEvent } from './disk-bench.ts'

/** What came of groups that were played onto an image. */
export interface Replayed {
  readonly image: Buffer
  readonly end: Position | null
  readonly duplicates: number
}

/** As a target that drops duplicates by number, and stops where a number or a chain does not join. */
export function replayGroups(groups: readonly WriteGroup[], image: Buffer): Replayed {
  let end: Position | null = null
  let duplicates = 0
  for (const group of groups) {
    const { firstSequence, generation } = group
    if (end === null || generation.number > end.generation) {
      assert(firstSequence === 1, 'a generation is shipped from its first event on')
      end = beginningOf(generation)
    }
    if (generation.number < end.generation || firstSequence <= end.sequence) {
      duplicates += 1
      if (firstSequence + group.events.length - 1 <= end.sequence) continue
    }
    end = applyGroup(image, group, end)
  }
  return { image, end, duplicates }
}

function applyGroup(image: Buffer, group: WriteGroup, end: Position): Position {
  const { events, firstSequence, generation, payload } = group
  assert(firstSequence <= end.sequence + 1, `no gap: ${firstSequence} after ${end.sequence}`)
  if (firstSequence === end.sequence + 1) assert(group.chainBefore === end.chain, 'chains join')
  let at = 0
  for (const [index, event] of events.entries()) {
    const byteLength = event.kind === 'write' ? event.byteLength : 0
    const isNew = firstSequence + index > end.sequence
    if (isNew) applyEvent(image, event, payload.subarray(at, at + byteLength))
    at += byteLength
  }
  const sequence = firstSequence + events.length - 1
  return { generation: generation.number, generationId: generation.id, sequence, chain: group.chainAfter }
}

function beginningOf(generation: Generation): Position {
  const { id, number } = generation
  return { generation: number, generationId: id, sequence: 0, chain: initialChain(id) }
}
