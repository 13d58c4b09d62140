import type { Clock } from '@blockferry/runtime'
import type { Lsn } from '@blockferry/segment-log'
import { eventsAdded, takeAccepted } from '../volume/accepted-set.ts'
import type { Volume } from '../volume/volume.ts'
import type { GapHealer } from './gap-healer.ts'
import type { Heartbeats } from './heartbeats.ts'
import type { BatchEntry, ReceiveBatch } from './receive-batch.ts'

/** A set's events are taken as spread evenly between its first and last captured time. */
const delaySamples = 4

/**
 * Makes a batch durable with one fdatasync, and only then lets it count (D1): received moves, delays are
 * measured, halts begin and end, in the order found.
 */
export class GroupCommit {
  readonly #clock: Clock
  readonly #volume: Volume
  readonly #healer: GapHealer
  readonly #heartbeats: Heartbeats

  constructor(parts: {
    readonly clock: Clock
    readonly volume: Volume
    readonly healer: GapHealer
    readonly heartbeats: Heartbeats
  }) {
    this.#clock = parts.clock
    this.#volume = parts.volume
    this.#healer = parts.healer
    this.#heartbeats = parts.heartbeats
  }

  /** Faults: the journal's; nothing of the batch counts then. */
  async commit(batch: ReceiveBatch): Promise<void> {
    const { entries } = batch
    const volume = this.#volume
    const lsns = entries.length === 0 ? [] : await this.#append(entries)
    let taken = 0
    const takeThrough = (count: number): void => {
      for (; taken < count; taken += 1) this.#take(entries[taken]!, lsns[taken] ?? 0)
    }
    for (const { disk, found, entriesBefore } of batch.halts) {
      takeThrough(entriesBefore)
      this.#healer.onHalt(disk, found)
    }
    takeThrough(entries.length)
    for (const [disk, lineage] of batch.lineages) disk.received = lineage
    for (const [disk, parked] of batch.parks) disk.parked = parked
    this.#heartbeats.take(batch)
    for (const disk of new Set([...entries.map((entry) => entry.disk), ...batch.parks.keys()])) {
      volume.noteState(disk)
    }
  }

  async #append(entries: readonly BatchEntry[]): Promise<readonly Lsn[]> {
    const startedMs = this.#clock.monotonicMs()
    const lsns = await this.#volume.journal.append(entries.map((entry) => entry.body))
    const nowMs = this.#clock.monotonicMs()
    this.#volume.commitTimes.record(nowMs - startedMs, { nowMs, weight: 1 })
    return lsns
  }

  #take(entry: BatchEntry, lsn: number): void {
    const { disk, accepted, bodyBytes } = entry
    takeAccepted(this.#volume, disk, { ...accepted, lsn, frameBytes: bodyBytes })
    this.#volume.stats.setsAccepted += 1
    this.#volume.stats.eventsAccepted += eventsAdded(accepted.before, accepted.set)
    this.#measure(entry)
    this.#healer.onAccepted(disk)
  }

  /** Design §9: per event, received − captured, in one clock; a future source time is skew, never negative lag. */
  #measure({ disk, accepted }: BatchEntry): void {
    const { set, before } = accepted
    const skewMs = disk.source?.clockSkew?.estimateMs ?? 0
    const receivedAtMs = this.#clock.wallMs() - skewMs
    const nowMs = this.#clock.monotonicMs()
    const weight = eventsAdded(before, set) / delaySamples
    const spanMs = set.lastCapturedAtMs - set.firstCapturedAtMs
    for (let sample = 0; sample < delaySamples; sample += 1) {
      const capturedAtMs = set.firstCapturedAtMs + (spanMs * sample) / (delaySamples - 1)
      disk.delays.record(Math.max(0, receivedAtMs - capturedAtMs), { nowMs, weight })
    }
    const inKafkaMs = this.#clock.wallMs() - accepted.appendedAtMs
    this.#volume.arrivalDelays.record(Math.max(0, inKafkaMs), { nowMs, weight: 1 })
    disk.noteBytes(set.rawBytes, eventsAdded(before, set))
  }
}
