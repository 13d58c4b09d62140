import type { CloseReason, DiskWindow, FoldedSet, WriteGroup } from '@blockferry/disk-stream'
import type { FetchedRecord } from '@blockferry/replication-log'
import { decodeRecord } from '@blockferry/schemas'
import { fault } from './error-catalogue.ts'
import type { FoldingBudget } from './folding-budget.ts'
import { OpenWindows } from './open-windows.ts'
import type { PartitionOutput } from './partition-output.ts'
import type { AggregatorDeps } from './ports.ts'

/*
 * From records of one input partition to folded sets in its output, without waiting for anything.
 *
 * Invariant PS1 (K4): a record's resumeInputOffset is the lowest input offset that is not wholly in the
 * records up to it: the lowest one held by a window that stays open, else the next one to be read. Never higher.
 * Invariant PS2: a record is taken whole or not at all; what cannot be read throws and leaves all as it was.
 */
export class PartitionStream {
  readonly windows: OpenWindows
  readonly #deps: Pick<AggregatorDeps, 'clock' | 'meter'>
  readonly #output: PartitionOutput
  readonly #budget: FoldingBudget
  #nextInputOffset: bigint

  constructor(
    deps: Pick<AggregatorDeps, 'clock' | 'meter'>,
    parts: { readonly output: PartitionOutput; readonly budget: FoldingBudget },
    from: { readonly inputOffset: bigint; readonly windowAgeMsMax: number },
  ) {
    this.windows = new OpenWindows(from.windowAgeMsMax)
    this.#deps = deps
    this.#output = parts.output
    this.#budget = parts.budget
    this.#nextInputOffset = from.inputOffset
  }

  /** Next input offset to be taken. */
  get inputOffset(): bigint {
    return this.#nextInputOffset
  }

  /** Takes one record. Throws the codec's faults, CHAIN_BROKEN and UNEXPECTED_RECORD (PS2). */
  take(record: FetchedRecord): void {
    const any = decodeRecord(record.value)
    if (any.kind === 'WriteGroup') this.#takeGroup(any.record, record.kafkaOffset)
    else if (any.kind === 'Heartbeat') {
      this.moveTo(record.kafkaOffset + 1n)
      const stamped = { heartbeat: any.record, resumeInputOffset: this.#resumeInputOffset() }
      this.#output.putHeartbeat(record.key, stamped)
      this.#deps.meter.heartbeatPassed()
    } else {
      throw fault('UNEXPECTED_RECORD', `a ${any.kind} at offset ${record.kafkaOffset}`)
    }
  }

  /** Goes on at another input offset: a hole in the offsets, a record passed over, a truncated input. */
  moveTo(inputOffset: bigint): void {
    this.#nextInputOffset = inputOffset
  }

  /** Closes the windows whose time has come, oldest first. */
  closeDue(nowMs: number): void {
    for (let set = this.windows.closeDue(nowMs); set !== null; set = this.windows.closeDue(nowMs)) {
      this.#emit(set)
    }
  }

  closeWindow(window: DiskWindow, reason: CloseReason): void {
    const set = this.windows.close(window, reason)
    if (set !== null) this.#emit(set)
  }

  /** Closes all, in input order. */
  closeAll(reason: CloseReason): void {
    for (let window = this.windows.first(); window !== null; window = this.windows.first()) {
      this.closeWindow(window, reason)
    }
  }

  /** Gives back what the open windows hold: the partition has gone to another member. */
  drop(): void {
    this.#budget.change(-this.windows.bufferedBytes)
  }

  #takeGroup(group: WriteGroup, inputOffset: bigint): void {
    const bufferedBefore = this.windows.bufferedBytes
    const nowMs = this.#deps.clock.monotonicMs()
    const outcome = this.windows.offer(group, { nowMs, inputOffset })
    if (outcome.refused !== null) {
      throw fault(
        outcome.refused,
        `group of ${group.diskId} from ${group.firstSequence} at offset ${inputOffset}`,
      )
    }
    const { closed, droppedEvents } = outcome
    const movedBytes = closed.reduce((bytes, set) => bytes + set.copiedBytes, 0)
    this.#budget.change(this.windows.bufferedBytes - bufferedBefore + movedBytes)
    // What closed before the group came in does not hold it; only the last can (a mark closes after).
    this.moveTo(inputOffset)
    for (const set of closed.slice(0, -1)) this.#emit(set)
    this.moveTo(inputOffset + 1n)
    const last = closed.at(-1)
    if (last !== undefined) this.#emit(last)
    this.#deps.meter.groupRead({
      payloadBytes: group.payload.length,
      events: group.events.length,
      droppedEvents,
    })
  }

  /** PS1, for a record that is put out now. */
  #resumeInputOffset(): bigint {
    const held = this.windows.firstInputOffset
    return held !== null && held < this.#nextInputOffset ? held : this.#nextInputOffset
  }

  #emit(set: FoldedSet): void {
    const { rawBytes, dataBytes, closedBy } = set
    this.#deps.meter.setFolded({ rawBytes, dataBytes, closedBy })
    this.#output.putSet(set, this.#resumeInputOffset())
  }
}
