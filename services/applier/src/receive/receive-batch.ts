import type { Lineage, Verdict } from '@blockferry/disk-stream'
import type { Disk, Parked, SourceView } from '../disk/disk.ts'
import type { AcceptedSet } from '../volume/accepted-set.ts'

/** A set on its way into the journal. */
export interface BatchEntry {
  readonly disk: Disk
  readonly accepted: AcceptedSet
  readonly body: readonly Buffer[]
  readonly bodyBytes: number
}

export type HaltVerdict = Extract<Verdict, { kind: 'halt' }>

/** A halt that the apply rule wants. */
export interface FoundHalt {
  readonly verdict: HaltVerdict
  /** Number of the generation of the set that was judged. */
  readonly generation: number
  /** The disk's records are read again from its last accepted set on, before anybody is asked. */
  readonly reread: boolean
}

interface BatchHalt {
  readonly disk: Disk
  readonly found: FoundHalt
  /** How many of the batch's sets were accepted before: any of this disk ends the halts before it. */
  readonly entriesBefore: number
}

/**
 * What one round of fetching leads to. Nothing of it touches a disk's state before the group commit: if
 * the journal refuses, the batch is dropped and the same records are fetched again (D1).
 */
export class ReceiveBatch {
  readonly entries: BatchEntry[] = []
  readonly halts: BatchHalt[] = []
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

  addHalt(disk: Disk, found: FoundHalt): void {
    this.halts.push({ disk, found, entriesBefore: this.entries.length })
  }

  /** How the disk stands parked, counting this batch. */
  parkedOf(disk: Disk): Parked | null {
    return this.parks.get(disk) ?? disk.parked
  }
}
