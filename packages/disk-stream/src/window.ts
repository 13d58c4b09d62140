import { assert } from '@blockferry/runtime'
import { advanceChain } from './chain.ts'
import { isMark } from './event.ts'
import type { StreamEvent } from './event.ts'
import { FoldingRun } from './folding-run.ts'
import type { CloseReason, FoldedSet } from './folding-run.ts'
import { isSameGeneration } from './lineage.ts'
import type { WriteGroup } from './records.ts'
import { updateSetBytesMax } from './records.ts'

/*
 * One disk's window in the aggregator (A1, A2).
 *
 * Invariant W1: a window is a contiguous run of one generation: each event's number follows the one before,
 * and its chain continues. Otherwise a late duplicate would fold old bytes over new ones.
 * Invariant W2: events at or below the disk's last are dropped one by one, unless a chain that is still
 * remembered shows them to be others; every other discontinuity closes the window and opens the next. Gaps and
 * divergence are the applier's to judge, so nothing else is ever dropped here. (A late group wholly below all that
 * is remembered cannot be compared. The apply rule drops it, too: it ends below what was sent on before, S9 row 2.)
 * Invariant W3: a window ends only at a group's end, and a mark ends it.
 */

/** Longest a window stays open (A2). Longer: fewer WAN bytes. */
export const windowAgeMsDefault = 20
/** Most events in a window, so that extents and joints stay well within a message (K7). */
export const windowEventsMax = 32_768

export interface WindowLimits {
  /** Data bytes copied into one window; a single larger group still makes a window of its own. */
  readonly bytesMax: number
  readonly eventsMax: number
  readonly ageMsMax: number
}

export const windowLimitsDefault: WindowLimits = {
  bytesMax: updateSetBytesMax,
  eventsMax: windowEventsMax,
  ageMsMax: windowAgeMsDefault,
}

export interface OfferContext {
  /** Monotonic ms, the same clock as `closeDue`'s. */
  readonly nowMs: number
  /** Where the group was read: its offset in the input partition (K4). */
  readonly inputOffset: bigint
}

export interface OfferOutcome {
  /** Windows that closed, in stream order; emit them before anything later. */
  readonly closed: readonly FoldedSet[]
  /** Events dropped as duplicates (W2). */
  readonly droppedEvents: number
  /**
   * Set when the group does not agree with itself: damaged on its way. Nothing of it was taken; what is
   * missing now shows as a GAP at the applier, which has it sent again.
   */
  readonly refused: 'CHAIN_BROKEN' | null
}

interface End {
  readonly sequence: number
  readonly chain: number
}

/** A group as checked: its events and the chain after each. */
interface CheckedGroup {
  readonly group: WriteGroup
  readonly chains: readonly number[]
}

function checkGroup(group: WriteGroup): CheckedGroup | null {
  const { events } = group
  assert(events.length > 0, 'a group has at least one event')
  const chains: number[] = Array.from({ length: events.length })
  let chain = group.chainBefore
  for (let index = 0; index < events.length; index += 1) {
    chain = advanceChain(chain, { sequence: group.firstSequence + index, event: events[index]! })
    chains[index] = chain
  }
  return chain === group.chainAfter ? { group, chains } : null
}

function lastSequenceOf(group: WriteGroup): number {
  return group.firstSequence + group.events.length - 1
}

function writeBytes(events: readonly StreamEvent[]): number {
  let bytes = 0
  for (const event of events) if (event.kind === 'write') bytes += event.byteLength
  return bytes
}

/** The group without its first `count` events. */
function withoutHead(checked: CheckedGroup, count: number): CheckedGroup {
  if (count === 0) return checked
  const { group, chains } = checked
  const head = group.events.slice(0, count)
  return {
    chains: chains.slice(count),
    group: {
      ...group,
      firstSequence: group.firstSequence + count,
      chainBefore: chains[count - 1]!,
      events: group.events.slice(count),
      payload: group.payload.subarray(writeBytes(head)),
    },
  }
}

/** Folds one disk's groups into sets (A1, A2). One per disk of an aggregator; keeps no history. */
export class DiskWindow {
  readonly #diskId: string
  readonly #limits: WindowLimits
  #run: FoldingRun | null = null
  #generation: WriteGroup['generation'] | null = null
  /** Ends of the groups taken since the window before last closed: where chains can be compared (W2). */
  #ends: End[] = []
  #openedAtMs = 0
  #firstInputOffset: bigint | null = null

  constructor(diskId: string, limits: WindowLimits = windowLimitsDefault) {
    this.#diskId = diskId
    this.#limits = limits
  }

  get isOpen(): boolean {
    return this.#run !== null
  }

  /** Bytes copied out of input buffers and still held (A3): count them against the process's budget. */
  get bufferedBytes(): number {
    return this.#run?.copiedBytes ?? 0
  }

  /** Input offset of the first group in the open window; null when closed. The lowest over all disks is K4's. */
  get firstInputOffset(): bigint | null {
    return this.#firstInputOffset
  }

  /** Monotonic ms at which the open window is due; null when closed. */
  get dueAtMs(): number | null {
    return this.#run === null ? null : this.#openedAtMs + this.#limits.ageMsMax
  }

  /** Takes the next group of this disk in input order. Its buffers may be reused afterwards (A3). */
  offer(group: WriteGroup, context: OfferContext): OfferOutcome {
    assert(group.diskId === this.#diskId, 'a window takes groups of its own disk')
    const checked = checkGroup(group)
    if (checked === null) return { closed: [], droppedEvents: 0, refused: 'CHAIN_BROKEN' }
    const closed: FoldedSet[] = []
    const close = (reason: CloseReason): void => {
      const set = this.close(reason)
      if (set !== null) closed.push(set)
    }
    const droppedEvents = this.#duplicates(checked)
    if (droppedEvents === group.events.length) return { closed, droppedEvents, refused: null }
    const rest = withoutHead(checked, droppedEvents ?? 0)
    if (droppedEvents === null) {
      close('discontinuity')
      this.#ends = []
    } else if (this.#isDue(context.nowMs)) close('time')
    else if (this.#wouldOverflow(rest.group)) close('size')
    this.#add(rest, context)
    if (isMark(rest.group.events.at(-1)!)) close('mark')
    return { closed, droppedEvents: droppedEvents ?? 0, refused: null }
  }

  /** Closes the window if its time has come (A2). */
  closeDue(nowMs: number): FoldedSet | null {
    return this.#isDue(nowMs) ? this.close('time') : null
  }

  /** Closes the open window, if any, and folds it: at the folding budget's limit (A3), or on the way down. */
  close(reason: CloseReason): FoldedSet | null {
    const run = this.#run
    if (run === null) return null
    this.#run = null
    this.#firstInputOffset = null
    this.#ends = this.#ends.slice(-1)
    return run.fold(reason)
  }

  /**
   * How many events at the head of the group this disk already has (W2); 0 when the group follows directly;
   * null when it is a discontinuity: another generation, a hole, another chain, or a deliberate re-send.
   */
  #duplicates({ group, chains }: CheckedGroup): number | null {
    const last = this.#ends.at(-1)
    if (last === undefined || group.resend) return null
    if (this.#generation === null || !isSameGeneration(this.#generation, group.generation)) return null
    if (group.firstSequence > last.sequence + 1) return null
    if (group.firstSequence === last.sequence + 1) return group.chainBefore === last.chain ? 0 : null
    for (const end of this.#ends) {
      const index = end.sequence - group.firstSequence
      const chain = index === -1 ? group.chainBefore : chains[index]
      if (index >= -1 && chain !== undefined && chain !== end.chain) return null
    }
    return Math.min(last.sequence, lastSequenceOf(group)) - group.firstSequence + 1
  }

  #isDue(nowMs: number): boolean {
    return this.#run !== null && nowMs - this.#openedAtMs >= this.#limits.ageMsMax
  }

  #wouldOverflow(group: WriteGroup): boolean {
    const run = this.#run
    if (run === null) return false
    const tooManyBytes = run.copiedBytes + group.payload.byteLength > this.#limits.bytesMax
    return tooManyBytes || run.eventCount + group.events.length > this.#limits.eventsMax
  }

  #add({ group, chains }: CheckedGroup, context: OfferContext): void {
    if (this.#run === null) {
      this.#run = new FoldingRun(group)
      this.#openedAtMs = context.nowMs
      this.#firstInputOffset = context.inputOffset
    }
    this.#run.add(group, chains)
    this.#generation = group.generation
    this.#ends.push({ sequence: lastSequenceOf(group), chain: group.chainAfter })
  }
}
