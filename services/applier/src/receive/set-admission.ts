import type { Clock } from '@blockferry/runtime'
import { accept, judge, type UpdateSet } from '@blockferry/disk-stream'
import type { FetchedRecord } from '@blockferry/replication-log'
import type { Disk, ParkReason } from '../disk/disk.ts'
import type { ApplierOptions } from '../options.ts'
import { encodeJournalFrame } from '../volume/journal-frame.ts'
import type { Volume } from '../volume/volume.ts'
import type { GapHealer } from './gap-healer.ts'
import type { HaltVerdict, ReceiveBatch } from './receive-batch.ts'

/** Which reading a record comes from: the partition's main cursor, or a parked disk's own. */
export type ReadMode = 'main' | 'catchUp'

export interface ArrivingSet {
  readonly set: UpdateSet
  readonly record: FetchedRecord
  readonly kafkaPartition: number
  readonly mode: ReadMode
}

/** Above this part of the journal's limit, shares are equal parts of it. A disk with nothing in it always gets its next set in. */
const journalFillMax = 0.5

/**
 * Decides what becomes of one arriving set: into the batch, dropped, left in Kafka B, or a halt (S9, R1).
 */
export class SetAdmission {
  readonly #clock: Clock
  readonly #options: ApplierOptions
  readonly #volume: Volume
  readonly #healer: GapHealer
  /** Since when a disk waits for the descriptor of which generation (S9). */
  readonly #ownerWaits = new Map<Disk, { readonly generationId: string; readonly sinceMs: number }>()

  constructor(parts: {
    readonly clock: Clock
    readonly options: ApplierOptions
    readonly volume: Volume
    readonly healer: GapHealer
  }) {
    this.#clock = parts.clock
    this.#options = parts.options
    this.#volume = parts.volume
    this.#healer = parts.healer
  }

  admit(batch: ReceiveBatch, arriving: ArrivingSet): void {
    if (!this.#volume.isOurs(arriving.set.diskId)) return
    const disk = this.#volume.disk(arriving.set.diskId)
    if (!this.#isFor(batch, disk, arriving)) return
    if (disk.descriptor === null) return this.#park(batch, disk, { arriving, reason: 'descriptor' })
    if (this.#isOverShare(batch, disk, arriving))
      return this.#park(batch, disk, { arriving, reason: 'share' })
    const before = batch.lineageOf(disk)
    const { id: generationId } = arriving.set.generation
    // Each generation has a wait of its own: that another one's owner never came says nothing of this one's.
    const waits = this.#ownerWaits.get(disk)?.generationId === generationId
    const ownerWaitExpired = waits && this.ownerWaitExpired(disk)
    const verdict = judge(before, arriving.set, { descriptor: disk.owner, ownerWaitExpired })
    switch (verdict.kind) {
      case 'accept':
        this.#ownerWaits.delete(disk)
        return this.#accept(batch, disk, { arriving, transition: verdict.transition })
      case 'drop':
        if (verdict.reason === 'duplicate') this.#volume.stats.duplicatesDropped += 1
        else this.#volume.stats.staleDropped += 1
        return
      case 'waitForOwner':
        if (!waits) this.#ownerWaits.set(disk, { generationId, sinceMs: this.#clock.monotonicMs() })
        return this.#park(batch, disk, { arriving, reason: 'owner' })
      case 'halt':
        return this.#halt(batch, disk, { arriving, verdict })
    }
  }

  /** True once a disk has waited its bound for the descriptor that names its owner. */
  ownerWaitExpired(disk: Disk): boolean {
    const wait = this.#ownerWaits.get(disk)
    return wait !== undefined && this.#clock.monotonicMs() - wait.sinceMs >= this.#options.ownerWaitMs
  }

  /** Most journal bytes a disk may hold: its share, or an equal part when the journal is half full (R1). */
  shareOf(): number {
    let pendingBytes = 0
    let holders = 0
    for (const { frames } of this.#volume.disks.values()) {
      pendingBytes += frames.bytes
      if (frames.bytes > 0) holders += 1
    }
    const { journalDiskBytesMax, journalBytesMax } = this.#options
    const fill = journalBytesMax * journalFillMax
    return pendingBytes < fill
      ? journalDiskBytesMax
      : Math.min(journalDiskBytesMax, fill / Math.max(1, holders))
  }

  #isFor(batch: ReceiveBatch, disk: Disk, arriving: ArrivingSet): boolean {
    const parked = batch.parkedOf(disk)
    if (arriving.mode === 'main') return parked === null
    return parked !== null && parked.catchingUp && parked.fromKafkaOffset <= arriving.record.kafkaOffset
  }

  #isOverShare(batch: ReceiveBatch, disk: Disk, arriving: ArrivingSet): boolean {
    const { frames } = disk
    if (frames.length === 0 && batch.bytesOf(disk) === 0) return false
    if (frames.length >= this.#options.journalDiskFramesMax) return true
    const bytes = frames.bytes + batch.bytesOf(disk) + arriving.record.value.byteLength
    if (bytes > this.#options.journalDiskBytesMax) return true
    // While the journal itself is small nobody's part has to be counted.
    const { allocatedBytes } = this.#volume.journal
    return allocatedBytes > this.#options.journalBytesMax * journalFillMax && bytes > this.shareOf()
  }

  #accept(
    batch: ReceiveBatch,
    disk: Disk,
    what: { readonly arriving: ArrivingSet; readonly transition: 'none' | 'switch' | 'resync' },
  ): void {
    const { set, record, kafkaPartition } = what.arriving
    const { kafkaOffset } = record
    const before = batch.lineageOf(disk)
    const accepted = {
      set,
      transition: what.transition,
      before,
      after: accept(before, set),
      kafkaPartition,
      kafkaOffset,
      appendedAtMs: record.timestampMs,
    }
    const receivedAtMs = this.#clock.wallMs()
    const body = encodeJournalFrame({ kafkaPartition, kafkaOffset, receivedAtMs, record: record.value })
    const bodyBytes = body.reduce((sum, buffer) => sum + buffer.byteLength, 0)
    batch.add({ disk, accepted, body, bodyBytes })
  }

  /** Halts with the batch: what the journal refuses is found again. */
  #halt(
    batch: ReceiveBatch,
    disk: Disk,
    what: { readonly arriving: ArrivingSet; readonly verdict: HaltVerdict },
  ): void {
    const { arriving, verdict } = what
    const accepted = disk.acceptedKafkaOffset
    const mayReread =
      arriving.mode === 'main' && accepted !== null && accepted + 1n < arriving.record.kafkaOffset
    const { wanted } = verdict
    const isNew = wanted.kind === 'resend' && wanted.generation > this.#healer.healingOf(disk)
    const reread = isNew && mayReread
    batch.addHalt(disk, { verdict, generation: arriving.set.generation.number, reread })
    if (reread) this.#park(batch, disk, { arriving, reason: 'reread' })
  }

  #park(
    batch: ReceiveBatch,
    disk: Disk,
    what: { readonly arriving: ArrivingSet; readonly reason: ParkReason },
  ): void {
    const { arriving, reason } = what
    const resume = (disk.acceptedKafkaOffset ?? -1n) + 1n
    this.#volume.stats.parked += 1
    batch.parks.set(disk, {
      reason,
      kafkaPartition: arriving.kafkaPartition,
      // A re-read starts after the last accepted set; anything else goes on with the set that was left.
      fromKafkaOffset: reason === 'reread' ? resume : arriving.record.kafkaOffset,
      sinceMs: this.#clock.monotonicMs(),
      oldestCapturedAtMs: arriving.set.firstCapturedAtMs,
      catchingUp: false,
    })
  }
}
