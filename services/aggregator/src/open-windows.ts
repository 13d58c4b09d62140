import { DiskWindow, windowLimitsDefault } from '@blockferry/disk-stream'
import type { CloseReason, FoldedSet, OfferContext, OfferOutcome, WriteGroup } from '@blockferry/disk-stream'

/** Disks whose last position a partition remembers; beyond it the longest silent is forgotten, at no harm (S9). */
export const windowsMax = 16_384

/**
 * The windows of one partition's disks. Invariant OW1: `open` lists the open ones in the order in which they
 * were opened, so the first has the lowest input offset not yet emitted.
 */
export class OpenWindows {
  readonly #limits: typeof windowLimitsDefault
  readonly #byDisk = new Map<string, DiskWindow>()
  readonly #open = new Set<DiskWindow>()
  #bufferedBytes = 0

  constructor(ageMsMax: number) {
    this.#limits = { ...windowLimitsDefault, ageMsMax }
  }

  get disks(): number {
    return this.#byDisk.size
  }

  get openCount(): number {
    return this.#open.size
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes
  }

  /** Lowest input offset that an open window holds; null when none is open. */
  get firstInputOffset(): bigint | null {
    return this.first()?.firstInputOffset ?? null
  }

  /** The window that has been open longest; null when none is. */
  first(): DiskWindow | null {
    for (const window of this.#open) return window
    return null
  }

  largest(): DiskWindow | null {
    let largest: DiskWindow | null = null
    for (const window of this.#open) {
      if (largest === null || window.bufferedBytes > largest.bufferedBytes) largest = window
    }
    return largest
  }

  offer(group: WriteGroup, context: OfferContext): OfferOutcome {
    const window = this.#windowOf(group.diskId)
    const bytesBefore = window.bufferedBytes
    const outcome = window.offer(group, context)
    this.#bufferedBytes += window.bufferedBytes - bytesBefore
    // Closed and opened again: to the end of the order (OW1).
    if (outcome.closed.length > 0) this.#open.delete(window)
    if (window.isOpen) this.#open.add(window)
    return outcome
  }

  /** Closes the oldest window if its time has come (A2). */
  closeDue(nowMs: number): FoldedSet | null {
    const window = this.first()
    const isDue = window !== null && (window.dueAtMs ?? Infinity) <= nowMs
    return isDue ? this.close(window, 'time') : null
  }

  close(window: DiskWindow, reason: CloseReason): FoldedSet | null {
    this.#bufferedBytes -= window.bufferedBytes
    this.#open.delete(window)
    return window.close(reason)
  }

  #windowOf(diskId: string): DiskWindow {
    const known = this.#byDisk.get(diskId)
    if (known !== undefined) return known
    if (this.#byDisk.size >= windowsMax) this.#forgetOne()
    const window = new DiskWindow(diskId, this.#limits)
    this.#byDisk.set(diskId, window)
    return window
  }

  #forgetOne(): void {
    for (const [diskId, window] of this.#byDisk) {
      if (window.isOpen) continue
      this.#byDisk.delete(diskId)
      return
    }
  }
}
