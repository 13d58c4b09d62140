import { type CompleteCut, CutTracker, type Position, type RecoveryPointEvent } from '@blockferry/disk-stream'

interface GroupCuts {
  readonly tracker: CutTracker
  /** Complete in every member's journal, not yet reached by the images; oldest first. */
  readonly complete: CompleteCut[]
}

/**
 * Which cuts are complete in the redo journals, by group (R3). A disk alone is a group of one. Fed with
 * every mark that became durable in the journal, in each disk's order.
 */
export class CutBoard {
  readonly #groups = new Map<string, GroupCuts>()

  /** Cuts found void so far. */
  get voidCount(): number {
    let count = 0
    for (const { tracker } of this.#groups.values()) count += tracker.voidCount
    return count
  }

  /** A recovery point of this disk is durable in the journal. */
  observe(diskId: string, mark: { readonly cut: RecoveryPointEvent; readonly position: Position }): void {
    const group = this.#group(keyOfCut(mark.cut))
    const { completed } = group.tracker.observe(diskId, mark)
    if (completed !== null) group.complete.push(completed)
  }

  /** A disk's journal goes on in another generation, whose first event was captured then. */
  enterGeneration(
    disk: { readonly diskId: string; readonly groupId: string | null },
    capturedAtMs: number,
  ): void {
    this.#groups.get(keyOfDisk(disk))?.tracker.enterGeneration(disk.diskId, capturedAtMs)
  }

  /** Complete and not yet reached, oldest first. */
  completeOf(disk: { readonly diskId: string; readonly groupId: string | null }): readonly CompleteCut[] {
    return this.#groups.get(keyOfDisk(disk))?.complete ?? []
  }

  /** True while a cut may still become complete. */
  isPending(disk: { readonly diskId: string; readonly groupId: string | null }, cutId: string): boolean {
    return this.#groups.get(keyOfDisk(disk))?.tracker.isPending(cutId) ?? false
  }

  /** The images have reached or passed these cuts, and they are indexed. */
  settle(
    disk: { readonly diskId: string; readonly groupId: string | null },
    cuts: readonly CompleteCut[],
  ): void {
    const group = this.#groups.get(keyOfDisk(disk))
    if (group === undefined) return
    const settled = new Set(cuts)
    const left = group.complete.filter((cut) => !settled.has(cut))
    group.complete.splice(0, group.complete.length, ...left)
  }

  #group(key: string): GroupCuts {
    let group = this.#groups.get(key)
    if (group === undefined) {
      group = { tracker: new CutTracker(), complete: [] }
      this.#groups.set(key, group)
    }
    return group
  }
}

/** Group names and disk ids are told apart: a disk alone may bear a group's name. */
function keyOfCut(cut: RecoveryPointEvent): string {
  return cut.groupId === null ? `disk/${cut.members.join(',')}` : `group/${cut.groupId}`
}

function keyOfDisk(disk: { readonly diskId: string; readonly groupId: string | null }): string {
  return disk.groupId === null ? `disk/${disk.diskId}` : `group/${disk.groupId}`
}
