import { assert } from '@blockferry/runtime'
import type { RecoveryPointEvent } from './event.ts'
import type { Position } from './position.ts'

/*
 * Which recovery points of one group are complete (S6, R3).
 *
 * Invariant P1: a cut is complete when every listed member's stream has its cutId; it is then one instant of
 * the whole group.
 * Invariant P2: complete cuts complete in the order in which they were cut: a member that passes a later cut
 * without an earlier one makes the earlier one void.
 * Invariant P3: what is void stays void, is counted, and is never offered.
 *
 * Members are read independently, so a cut first seen may be either the later or the earlier one of two; a
 * cut counts as later only where some member has both, in that order. (All marks of a group are numbered by
 * one thread, so members that have two cuts have them in the same order.)
 */

/** Incomplete cuts remembered by default; beyond it the oldest is void. 4.5 hours at one a second. */
export const pendingCutsMaxDefault = 16_384

export interface CompleteCut {
  readonly cut: RecoveryPointEvent
  /** Each member's position of the mark. */
  readonly positions: ReadonlyMap<string, Position>
}

/** What observing a mark, or a new generation, settled. */
export interface CutOutcome {
  readonly completed: CompleteCut | null
  /** Cuts that became void just now (P3). */
  readonly voided: readonly RecoveryPointEvent[]
}

interface PendingCut {
  readonly cut: RecoveryPointEvent
  readonly positions: Map<string, Position>
  /** Place among all observations, by member: within one member, a lower one is earlier. */
  readonly seenAt: Map<string, number>
}

interface Member {
  last: Position | null
  /** Pending cuts this member has, in its stream's order. */
  readonly pending: Set<PendingCut>
}

/** Sorts the marks of one group's members into complete and void. A disk alone is a group of one. */
export class CutTracker {
  readonly #pendingMax: number
  /** By cutId, in the order of first observation. */
  readonly #pending = new Map<string, PendingCut>()
  readonly #members = new Map<string, Member>()
  /** The newest void cuts' ids, as many as may be pending: members that show one later do not revive it (P3). */
  readonly #voidIds = new Set<string>()
  #observations = 0
  #voidCount = 0
  #completeCount = 0
  #newest: CompleteCut | null = null

  constructor(options: { readonly pendingMax?: number } = {}) {
    this.#pendingMax = options.pendingMax ?? pendingCutsMaxDefault
  }

  /** Cuts found void so far. */
  get voidCount(): number {
    return this.#voidCount
  }

  get completeCount(): number {
    return this.#completeCount
  }

  get pendingCount(): number {
    return this.#pending.size
  }

  /** True while some member's stream has the cut and another's may still bring it. */
  isPending(cutId: string): boolean {
    return this.#pending.has(cutId)
  }

  /** The newest cut that every member has (R3); null before the first. */
  newestCompleteCut(): CompleteCut | null {
    return this.#newest
  }

  /** A member's stream has this mark at `position`. Give each member's marks in its stream's order; repeats are ignored. */
  observe(
    diskId: string,
    mark: { readonly cut: RecoveryPointEvent; readonly position: Position },
  ): CutOutcome {
    const { cut, position } = mark
    assert(cut.members.includes(diskId), 'a mark lists the disk that carries it')
    const member = this.#member(diskId)
    if (member.last !== null && !isAfter(position, member.last)) return { completed: null, voided: [] }
    member.last = position
    if (this.#voidIds.has(cut.cutId)) return { completed: null, voided: [] }
    this.#observations += 1
    const known = this.#pending.get(cut.cutId)
    const pending = known ?? { cut, positions: new Map(), seenAt: new Map() }
    pending.positions.set(diskId, position)
    pending.seenAt.set(diskId, this.#observations)
    const voided = known === undefined ? this.#makeRoom() : this.#settleAround(pending, diskId)
    if (pending.positions.size === cut.members.length) return { completed: this.#complete(pending), voided }
    this.#pending.set(cut.cutId, pending)
    member.pending.add(pending)
    return { completed: null, voided }
  }

  /**
   * A member's stream goes on in another generation, whose first event was captured at `capturedAtMs`: the cuts
   * taken before then that it lacks will never come (S6). The group's members share one source clock, so a cut
   * taken later, which other members have shown early, is still to come and is kept.
   */
  enterGeneration(diskId: string, capturedAtMs: number): CutOutcome {
    const gone: PendingCut[] = []
    for (const pending of this.#pending.values()) {
      const lacks = pending.cut.members.includes(diskId) && !pending.positions.has(diskId)
      if (lacks && pending.cut.capturedAtMs < capturedAtMs) gone.push(pending)
    }
    return { completed: null, voided: this.#void(gone) }
  }

  /** The cuts that cannot complete any more now that `diskId` has shown `cut` too (P2). */
  #settleAround(cut: PendingCut, diskId: string): readonly RecoveryPointEvent[] {
    const gone: PendingCut[] = []
    for (const other of this.#pending.values()) {
      if (other === cut) break
      if (!other.positions.has(diskId) && isMember(other, diskId) && isEarlier(other, cut)) gone.push(other)
    }
    // Cuts that this member has before `cut`: whoever has `cut` without them has passed them.
    for (const earlier of this.#member(diskId).pending) {
      const passed = [...cut.positions.keys()].some(
        (id) => isMember(earlier, id) && !earlier.positions.has(id),
      )
      if (passed) gone.push(earlier)
    }
    return this.#void(gone)
  }

  #complete(cut: PendingCut): CompleteCut {
    this.#forget(cut)
    this.#completeCount += 1
    this.#newest = { cut: cut.cut, positions: cut.positions }
    return this.#newest
  }

  #makeRoom(): readonly RecoveryPointEvent[] {
    if (this.#pending.size < this.#pendingMax) return []
    const [oldest] = this.#pending.values()
    return oldest === undefined ? [] : this.#void([oldest])
  }

  #void(cuts: readonly PendingCut[]): readonly RecoveryPointEvent[] {
    for (const cut of cuts) {
      this.#forget(cut)
      this.#voidIds.add(cut.cut.cutId)
    }
    for (const cutId of this.#voidIds) {
      if (this.#voidIds.size <= this.#pendingMax) break
      this.#voidIds.delete(cutId)
    }
    this.#voidCount += cuts.length
    return cuts.map(({ cut }) => cut)
  }

  #forget(cut: PendingCut): void {
    this.#pending.delete(cut.cut.cutId)
    for (const diskId of cut.positions.keys()) this.#member(diskId).pending.delete(cut)
  }

  #member(diskId: string): Member {
    let member = this.#members.get(diskId)
    if (member === undefined) {
      member = { last: null, pending: new Set() }
      this.#members.set(diskId, member)
    }
    return member
  }
}

function isMember(pending: PendingCut, diskId: string): boolean {
  return pending.cut.members.includes(diskId)
}

/** True when some member is known to have `a` before `b`. */
function isEarlier(a: PendingCut, b: PendingCut): boolean {
  for (const [diskId, seenAt] of a.seenAt) {
    const other = b.seenAt.get(diskId)
    if (other !== undefined && seenAt < other) return true
  }
  return false
}

function isAfter(a: Position, b: Position): boolean {
  return a.generation === b.generation ? a.sequence > b.sequence : a.generation > b.generation
}
