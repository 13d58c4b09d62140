import type { Lineage } from '@blockferry/disk-stream'
import type { Disk, Parked, SourceView } from '../disk/disk.ts'
import type { AcceptedSet } from '../volume/accepted-set.ts'

/** A set on its way into the journal. */
export interface BatchEntry {
  readonly disk: Disk
  readonly accepted: AcceptedSet
  readonly body: readonly Buffer[]
  readonly bodyBytes: number
}

/**
 * What one round of fetching leads to. Nothing of it touches a disk's state before the group commit: if
 * the journal refuses, the batch is dropped and the same records are fetched again (D1).
 */
export class ReceiveBatch {
  readonly entries: BatchEntry[] = []
  readonly parks = new Map<Disk, Parked>()
  readonly sources = new Map<Disk, SourceView>()
  readonly #lineages = new Map<Disk, Lineage>()
  readonly #bytes = new Map<Disk, number>()

  /** The lineage with everything accepted in this batch so far. */
  lineageOf(disk: Disk): Lineage {
    return this.#lineages.get(disk) ?? disk.received
  }

  setLineage(disk: Disk, lineage: Lineage): void {
    this.#lineages.set(disk, lineage)
  }

  get lineages(): ReadonlyMap<Disk, Lineage> {
    return this.#lineages
  }

  bytesOf(disk: Disk): number {
    return this.#bytes.get(disk) ?? 0
  }

  add(entry: BatchEntry): void {
    this.entries.push(entry)
    this.#bytes.set(entry.disk, this.bytesOf(entry.disk) + entry.bodyBytes)
    this.#lineages.set(entry.disk, entry.accepted.after)
  }

  /** How the disk stands parked, counting this batch. */
  parkedOf(disk: Disk): Parked | null {
    return this.parks.get(disk) ?? disk.parked
  }
}
