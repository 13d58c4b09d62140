import { assert } from '@blockferry/runtime'
import type { Generation, Stamp } from './generation.ts'
import type { Position } from './position.ts'
import type { UpdateSet } from './records.ts'

/**
 * Generations left behind that a lineage remembers; sets of forgotten ones are dropped as duplicates, and a
 * resync based on one is answered with a resync that assumes nothing. A target checkpoints them all, of every disk.
 */
export const pastGenerationsMax = 16
/** Stamps a lineage remembers; an agent id is as old as its state directory, so a disk has one or two. */
export const stampsMax = 32

/** What the apply rule needs of a set: everything but its data. */
export type SetHeader = Pick<
  UpdateSet,
  'generation' | 'firstSequence' | 'lastSequence' | 'chainBefore' | 'chainAfter' | 'joints'
>

/** A generation this target has left, and the last position it took of it (the switch point). */
export interface PastGeneration {
  readonly number: number
  readonly id: string
  readonly left: Position
}

/** The highest stamp counter seen of an agent while its disk stood in a generation (T5). */
export interface SeenStamp extends Stamp {
  readonly generation: number
}

/**
 * What a target has accepted of one disk, in order: the state of the apply rule (S9). Plain JSON: the
 * applier checkpoints it as it is.
 *
 * Invariant L1: `applied` is the end of the last accepted set, and lies in `current`; both are null before the first.
 * Invariant L2: `past` ascends by generation number, and all of it is older than `current`.
 */
export interface Lineage {
  readonly applied: Position | null
  readonly current: Generation | null
  readonly past: readonly PastGeneration[]
  readonly stamps: readonly SeenStamp[]
}

/** A target that has accepted nothing yet. */
export const emptyLineage: Lineage = { applied: null, current: null, past: [], stamps: [] }

export function endOf(set: SetHeader): Position {
  return {
    generation: set.generation.number,
    generationId: set.generation.id,
    sequence: set.lastSequence,
    chain: set.chainAfter,
  }
}

export function isSameGeneration(a: Generation, b: Generation): boolean {
  return a.number === b.number && a.id === b.id
}

/** True when the target holds everything up to `position`: it lies on this lineage's way to `applied`. */
export function holds(lineage: Lineage, position: Position): boolean {
  const { applied } = lineage
  if (applied === null) return false
  const end =
    position.generationId === applied.generationId
      ? applied
      : lineage.past.find((past) => past.id === position.generationId)?.left
  if (end === undefined || end.generation !== position.generation) return false
  return position.sequence < end.sequence || isSamePosition(position, end)
}

export function isSamePosition(a: Position, b: Position): boolean {
  return (
    a.generation === b.generation &&
    a.generationId === b.generationId &&
    a.sequence === b.sequence &&
    a.chain === b.chain
  )
}

/**
 * Remembers a stamp, with the generation its agent reported for this disk at the time. A heartbeat
 * may overtake the sets of the generation it names (they wait in the spool), so a stamp speaks only against
 * generations *newer* than the one it was seen with.
 */
export function noteStamp(lineage: Lineage, seen: SeenStamp): Lineage {
  const known = lineage.stamps.find(
    (stamp) => stamp.agentId === seen.agentId && stamp.generation === seen.generation,
  )
  if (known !== undefined && known.counter >= seen.counter) return lineage
  const others = lineage.stamps.filter((stamp) => stamp !== known)
  return { ...lineage, stamps: settle([...others, seen], lineage.current?.number ?? 0) }
}

/** Merges what can no longer be told apart: every newer generation has a number above the current one. */
function settle(stamps: readonly SeenStamp[], currentNumber: number): readonly SeenStamp[] {
  const settled = new Map<string, SeenStamp>()
  for (const stamp of stamps) {
    const generation = Math.max(stamp.generation, currentNumber)
    const key = `${generation}/${stamp.agentId}`
    const known = settled.get(key)
    if (known === undefined || known.counter < stamp.counter) settled.set(key, { ...stamp, generation })
  }
  return [...settled.values()].toSorted((a, b) => a.generation - b.generation).slice(-stampsMax)
}

/** The highest counter seen of this agent in a generation older than `number`; null when none. */
export function highestStampBefore(lineage: Lineage, generation: Generation): number | null {
  let highest: number | null = null
  for (const stamp of lineage.stamps) {
    const speaks = stamp.agentId === generation.stamp.agentId && stamp.generation < generation.number
    if (speaks) highest = Math.max(highest ?? 0, stamp.counter)
  }
  return highest
}

/** The lineage after a set that `judge` accepted: only then. */
export function accept(lineage: Lineage, set: SetHeader): Lineage {
  const { current, applied } = lineage
  const applying = { ...lineage, applied: endOf(set) }
  if (current !== null && isSameGeneration(current, set.generation)) return applying
  const { generation } = set
  assert(current === null || generation.number > current.number, 'a lineage only moves to newer generations')
  const left =
    current === null || applied === null ? [] : [{ number: current.number, id: current.id, left: applied }]
  const entered = {
    ...applying,
    current: generation,
    past: [...lineage.past, ...left].slice(-pastGenerationsMax),
    stamps: settle(lineage.stamps, generation.number),
  }
  return noteStamp(entered, { ...generation.stamp, generation: generation.number })
}

export function lineageToJson(lineage: Lineage): string {
  return JSON.stringify(lineage)
}

/** The lineage that `lineageToJson` wrote. Its container (checkpoint slot) guards it with a checksum. */
export function lineageFromJson(json: string): Lineage {
  const lineage = JSON.parse(json) as Lineage
  assert(
    (lineage.applied === null) === (lineage.current === null),
    'L1: applied lies in the current generation',
  )
  assert(
    Array.isArray(lineage.past) && Array.isArray(lineage.stamps),
    'a lineage lists its past and its stamps',
  )
  return lineage
}
