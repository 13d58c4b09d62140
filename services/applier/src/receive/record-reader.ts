import { type Clock, codeOf, Fault } from '@blockferry/runtime'
import type { FetchedRecord } from '@blockferry/replication-log'
import { type AnyRecord, decodeRecord } from '@blockferry/schemas'
import type { Disk } from '../disk/disk.ts'
import { haltOf } from '../disk/halt.ts'
import type { ApplierOptions } from '../options.ts'
import type { ApplierLogger } from '../ports.ts'
import type { Volume } from '../volume/volume.ts'
import type { Heartbeats } from './heartbeats.ts'
import type { DamagedBatch } from './mirror-reader.ts'
import type { ReceiveBatch } from './receive-batch.ts'
import type { ReadMode, SetAdmission } from './set-admission.ts'

/** Places of records that could not be read, for counting tries; the oldest is forgotten. */
const triesRemembered = 1_024

export interface FetchedFrom {
  readonly record: FetchedRecord
  readonly kafkaPartition: number
  readonly mode: ReadMode
}

/*
 * Turns fetched records into sets and heartbeats. A record that cannot be decoded is fetched again a few
 * times, for it may have been damaged on the way. Then its disk, or all disks of the partition when the
 * key tells nothing, are HALTED with the code:
 *
 *   UNKNOWN_SCHEMA   the disks wait at the record until this service understands it
 *   anything else    reading of headers goes on; what the record held shows as a GAP and is sent again
 */
export class RecordReader {
  readonly #clock: Clock
  readonly #options: ApplierOptions
  readonly #volume: Volume
  readonly #admission: SetAdmission
  readonly #heartbeats: Heartbeats
  readonly #logger: ApplierLogger
  readonly #tries = new Map<string, number>()

  constructor(parts: {
    readonly clock: Clock
    readonly options: ApplierOptions
    readonly volume: Volume
    readonly admission: SetAdmission
    readonly heartbeats: Heartbeats
    readonly logger: ApplierLogger
  }) {
    this.#clock = parts.clock
    this.#options = parts.options
    this.#volume = parts.volume
    this.#admission = parts.admission
    this.#heartbeats = parts.heartbeats
    this.#logger = parts.logger
  }

  /** False when the record must be fetched again before anything after it is read. */
  read(batch: ReceiveBatch, from: FetchedFrom): boolean {
    let any: AnyRecord
    try {
      any = decodeRecord(from.record.value)
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      return this.#undecodable(batch, from, error)
    }
    if (any.kind === 'UpdateSet') this.#admission.admit(batch, { ...from, set: any.record })
    else if (any.kind === 'Heartbeat' && from.mode === 'main') this.#heartbeats.observe(batch, any.record)
    return true
  }

  /**
   * A stored batch that cannot be read at all is left behind (G4): all disks that are read there may have lost
   * something, and say so until a set or a heartbeat shows that they have not.
   */
  leaveBehind(batch: ReceiveBatch, damaged: DamagedBatch & { readonly mode: ReadMode }): void {
    const { cause, kafkaOffset, kafkaPartition, mode, nextKafkaOffset } = damaged
    this.#volume.stats.damagedBatches += 1
    const fields = { kafkaPartition, from: String(kafkaOffset), to: String(nextKafkaOffset) }
    this.#logger.error(
      { event: 'batch-left-behind', code: codeOf(cause), err: cause, ...fields },
      `partition ${kafkaPartition}: the batch at ${kafkaOffset} stays unreadable; going on at ${nextKafkaOffset}`,
    )
    for (const disk of this.#disksIn(kafkaPartition)) {
      if (!this.#reads(batch, disk, mode)) continue
      this.#volume.raise(disk, 'record', haltOf(cause, { code: codeOf(cause), nextCommand: '', message: '' }))
    }
  }

  #undecodable(batch: ReceiveBatch, from: FetchedFrom, fault: Fault): boolean {
    const place = `${from.kafkaPartition}/${from.record.kafkaOffset}`
    const tries = (this.#tries.get(place) ?? 0) + 1
    this.#remember(place, tries)
    if (tries <= this.#options.undecodableTriesMax) return false
    this.#volume.stats.undecodable += 1
    for (const disk of this.#disksOf(from)) {
      this.#volume.raise(disk, 'record', haltOf(fault, { code: codeOf(fault), nextCommand: '', message: '' }))
      if (fault.code === 'UNKNOWN_SCHEMA' && this.#reads(batch, disk, from.mode))
        this.#wait(batch, disk, from)
    }
    return true
  }

  #remember(place: string, tries: number): void {
    this.#tries.delete(place)
    this.#tries.set(place, tries)
    if (this.#tries.size <= triesRemembered) return
    const [oldest] = this.#tries.keys()
    if (oldest !== undefined) this.#tries.delete(oldest)
  }

  /** The disk that the key names, else every disk of the partition. */
  #disksOf(from: FetchedFrom): readonly Disk[] {
    const named = this.#volume.disks.get(from.record.key?.toString('utf8') ?? '')
    if (named !== undefined) return [named]
    return this.#disksIn(from.kafkaPartition)
  }

  #disksIn(kafkaPartition: number): readonly Disk[] {
    return [...this.#volume.disks.values()].filter((disk) => disk.kafkaPartition === kafkaPartition)
  }

  #reads(batch: ReceiveBatch, disk: Disk, mode: ReadMode): boolean {
    const parked = batch.parkedOf(disk)
    return mode === 'main' ? parked === null : parked?.catchingUp === true
  }

  #wait(batch: ReceiveBatch, disk: Disk, from: FetchedFrom): void {
    batch.parks.set(disk, {
      reason: 'undecodable',
      kafkaPartition: from.kafkaPartition,
      fromKafkaOffset: from.record.kafkaOffset,
      sinceMs: this.#clock.monotonicMs(),
      oldestCapturedAtMs: null,
      catchingUp: false,
    })
  }
}
