import type { catalogue } from './error-catalogue.ts'
import { initialChain } from './chain.ts'
import type { Generation } from './generation.ts'
import type { Lineage, SetHeader } from './lineage.ts'
import { highestStampBefore, holds, isSameGeneration, isSamePosition, pastGenerationsMax } from './lineage.ts'
import type { Position } from './position.ts'

/*
 * The apply rule (S9): what a target does with an arriving set. One pure function for the applier, drills,
 * replay, simulation and tests. First match wins; the rows below stand in the order of the design's table.
 *
 * Invariant J1: an accepted set starts at, or folds in a joint at, exactly `applied`: applying it whole to an image
 * at `applied` gives the image at its end.
 * Invariant J2: nothing but `accept` changes a lineage; a drop or a halt leaves the target as it was.
 */

export type HaltCode = keyof typeof catalogue

/** Who owns the disk, as the newest descriptor (folded by generation number, K5) says. */
export interface DescriptorOwner {
  readonly ownerSite: string
  readonly generation: number
  readonly generationId: string
}

export interface JudgeContext {
  /** Null while no descriptor of the disk was seen. */
  readonly descriptor: DescriptorOwner | null
  /** True once the caller has waited its bound for a descriptor that names this generation's owner. */
  readonly ownerWaitExpired: boolean
}

/** What gets a halted disk on again. */
export type Wanted =
  | {
      readonly kind: 'resend'
      /** The generation to be sent again, from this sequence; when that does not help in time, a resync. */
      readonly generation: number
      readonly generationId: string
      readonly fromSequence: number
    }
  /** A resync that assumes nothing of the target (base = full). */
  | { readonly kind: 'digestResync' }
  /** A person must decide which history is right. */
  | { readonly kind: 'operator' }

export type Verdict =
  | {
      readonly kind: 'accept'
      /** none: the run goes on. switch: a new generation continues it. resync: enter RESYNCING (pin first, G5). */
      readonly transition: 'none' | 'switch' | 'resync'
    }
  | { readonly kind: 'drop'; readonly reason: 'duplicate' | 'stale-writer' }
  | { readonly kind: 'halt'; readonly code: HaltCode; readonly wanted: Wanted; readonly why: string }
  /** Ask again when a descriptor arrives, or with `ownerWaitExpired` once the bound has passed. */
  | { readonly kind: 'waitForOwner'; readonly ownerSite: string }

const duplicate: Verdict = { kind: 'drop', reason: 'duplicate' }
const staleWriter: Verdict = { kind: 'drop', reason: 'stale-writer' }

function splitBrain(why: string): Verdict {
  return { kind: 'halt', code: 'SPLIT_BRAIN', wanted: { kind: 'operator' }, why }
}

function digestResync(code: HaltCode, why: string): Verdict {
  return { kind: 'halt', code, wanted: { kind: 'digestResync' }, why }
}

function gap(generation: { readonly number: number; readonly id: string }, fromSequence: number): Verdict {
  const { number, id } = generation
  return {
    kind: 'halt',
    code: 'GAP',
    wanted: { kind: 'resend', generation: number, generationId: id, fromSequence },
    why: `generation ${number} is wanted from sequence ${fromSequence}`,
  }
}

/** The chain a set has at a sequence: before its first event, at a joint, at its end; null elsewhere. */
export function chainAt(set: SetHeader, sequence: number): number | null {
  if (sequence === set.firstSequence - 1) return set.chainBefore
  if (sequence === set.lastSequence) return set.chainAfter
  return set.joints.find((joint) => joint.sequence === sequence)?.chain ?? null
}

/** Rows 1–4: the generation the target stands in. */
function judgeSame(applied: Position, set: SetHeader): Verdict {
  const chain = chainAt(set, applied.sequence)
  if (chain !== null && chain !== applied.chain) {
    return digestResync('DIVERGED', `the chain at sequence ${applied.sequence} is another one`)
  }
  if (set.lastSequence <= applied.sequence) return duplicate
  if (chain !== null) return { kind: 'accept', transition: 'none' }
  return gap(set.generation, applied.sequence + 1)
}

/** Rows 5–6: a generation the target has left, skipped, or forgotten. */
function judgeOlder(lineage: Lineage, set: SetHeader): Verdict {
  const { past } = lineage
  const { id, number } = set.generation
  const known = past.find((generation) => generation.id === id && generation.number === number)
  if (known !== undefined) return set.lastSequence <= known.left.sequence ? duplicate : staleWriter
  // What was forgotten was left long ago; whether it was ever taken can no longer be told.
  const forgotten = past.length >= pastGenerationsMax && number < past[0]!.number
  return forgotten ? duplicate : staleWriter
}

/** Row 7, second half: a newer generation must be its owner's. Null when it is. */
function judgeOwner(generation: Generation, context: JudgeContext): Verdict | null {
  const { descriptor } = context
  if (descriptor?.ownerSite === generation.ownerSite) {
    const sameNumber = descriptor.generation === generation.number
    if (!sameNumber || descriptor.generationId === generation.id) return null
    return splitBrain(`the descriptor gives generation ${generation.number} another id`)
  }
  const mayStillCome = descriptor === null || descriptor.generation < generation.number
  if (mayStillCome && !context.ownerWaitExpired) {
    return { kind: 'waitForOwner', ownerSite: generation.ownerSite }
  }
  return splitBrain(
    `generation ${generation.number} is of ${generation.ownerSite}, the disk belongs to ${descriptor?.ownerSite ?? 'nobody known'}`,
  )
}

/** Rows 9–12: a newer generation that starts a resync. */
function judgeResync(lineage: Lineage, generation: Generation): Verdict {
  const { base, stamp } = generation
  if (base.kind === 'full') return { kind: 'accept', transition: 'resync' }
  const seen = highestStampBefore(lineage, generation)
  if (seen !== null && stamp.counter < seen) {
    return digestResync('SOURCE_REVERTED', `stamp ${stamp.counter} of ${stamp.agentId} is older than ${seen}`)
  }
  if (base.kind === 'position' && holds(lineage, base.position)) {
    return { kind: 'accept', transition: 'resync' }
  }
  return digestResync('BASE_BEHIND', 'the target does not hold the base of the resync')
}

/** Rows 13–15: a newer generation that claims to continue what the target holds. */
function judgeContinuation(lineage: Lineage, generation: Generation): Verdict {
  const { applied, current } = lineage
  const { predecessor } = generation
  if (applied !== null && current !== null && predecessor !== null) {
    if (isSamePosition(predecessor, applied)) return { kind: 'accept', transition: 'switch' }
    const beyond =
      predecessor.generationId === applied.generationId && predecessor.sequence > applied.sequence
    if (beyond) return gap(current, applied.sequence + 1)
  }
  return splitBrain(`generation ${generation.number} does not continue what the target holds`)
}

/** Judges an arriving set against what the target has accepted so far (S9). Pure; first match wins. */
export function judge(lineage: Lineage, set: SetHeader, context: JudgeContext): Verdict {
  const { applied, current } = lineage
  const { generation } = set
  if (applied !== null && current !== null) {
    if (isSameGeneration(current, generation)) return judgeSame(applied, set)
    if (generation.number < current.number) return judgeOlder(lineage, set)
    if (generation.number === current.number) {
      return splitBrain(`generation ${generation.number} has two ids`)
    }
  }
  const foreign = judgeOwner(generation, context)
  if (foreign !== null) return foreign
  if (set.firstSequence !== 1) return gap(generation, 1)
  // Row 1 at sequence 0: the chain before the first event follows from the generation's id alone.
  if (set.chainBefore !== initialChain(generation.id)) {
    return digestResync('DIVERGED', 'the chain before the first event is not its generation’s')
  }
  if (generation.base.kind !== 'none') return judgeResync(lineage, generation)
  return judgeContinuation(lineage, generation)
}
