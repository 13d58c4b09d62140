import { AssertionError, codeOf } from '@blockferry/runtime'
import type { FetchedRecord } from '@blockferry/replication-log'
import { catalogue } from '../error-catalogue.ts'
import { haltOf } from '../disk/halt.ts'
import type { KafkaSession } from '../kafka/kafka-session.ts'
import type { ApplierOptions } from '../options.ts'
import type { ApplierDeps } from '../ports.ts'
import type { Volume } from '../volume/volume.ts'
import { GroupCommit } from './group-commit.ts'
import { GapHealer } from './gap-healer.ts'
import { Heartbeats } from './heartbeats.ts'
import { JournalCopier } from './journal-copier.ts'
import { MirrorReader, type Places, type ReadOutcome } from './mirror-reader.ts'
import { MirrorTopic } from './mirror-topic.ts'
import type { MirrorWatch } from './mirror-watch.ts'
import { Parking } from './parking.ts'
import { ReceiveBatch } from './receive-batch.ts'
import { RecordReader } from './record-reader.ts'
import { type ReadMode, SetAdmission } from './set-admission.ts'
import type { StreamRequests } from './stream-requests.ts'

/*
 * Receives the mirrored updates of all partitions (R1): fetch → judge → journal → received. One loop, so
 * that everything that changes what is received happens in one order. Invariants:
 *
 * E1  A cursor moves past a record only when what it led to is durable in the journal, judged away, or
 *     remembered as parked: a crash or a refused append fetches the same records again.
 * E2  A partition or disk that cannot go on never holds up another one's.
 */

/** The smallest fetch is one record anyway. */
const fetchDivisorMax = 4_096

export interface ReceiverParts {
  readonly volume: Volume
  readonly requests: StreamRequests
  readonly watch: MirrorWatch
  readonly deps: ApplierDeps
  readonly options: ApplierOptions
}

/** What a round works with. */
interface Round {
  readonly reader: MirrorReader
  readonly signal: AbortSignal
}

export class Receiver {
  readonly #parts: ReceiverParts
  readonly #topic: MirrorTopic
  readonly #healer: GapHealer
  readonly #heartbeats: Heartbeats
  readonly #parking: Parking
  readonly #reader: RecordReader
  readonly #commit: GroupCommit
  readonly #copier: JournalCopier
  /** Grows while the journal refuses: a smaller batch may still fit. */
  #fetchDivisor = 1

  constructor(parts: ReceiverParts) {
    this.#parts = parts
    const { volume, requests, deps, options, watch } = parts
    const { clock, logger } = deps
    this.#topic = new MirrorTopic({ volume, deps, options, watch })
    this.#healer = new GapHealer({ clock, options, volume, requests })
    this.#heartbeats = new Heartbeats({ clock, options, volume, healer: this.#healer })
    const admission = new SetAdmission({ clock, options, volume, healer: this.#healer })
    this.#parking = new Parking({ clock, options, volume, admission, logger })
    this.#reader = new RecordReader({
      clock,
      options,
      volume,
      admission,
      heartbeats: this.#heartbeats,
      logger,
    })
    this.#commit = new GroupCommit({ clock, volume, healer: this.#healer, heartbeats: this.#heartbeats })
    this.#copier = new JournalCopier({ clock, volume, options })
  }

  /** Receives in this session until the signal aborts. Throws what ends the session, and broken invariants. */
  async run(session: KafkaSession, signal: AbortSignal): Promise<void> {
    this.#topic.begin(session)
    const reader = new MirrorReader({ ...this.#parts, session, topic: this.#topic })
    try {
      await this.#receive(session, { reader, signal })
    } finally {
      await reader.end()
    }
  }

  async #receive(session: KafkaSession, round: Round): Promise<void> {
    const { deps, options, volume } = this.#parts
    const { signal } = round
    let retryMs = options.retryMsMin
    while (!signal.aborted) {
      try {
        this.#topic.refresh()
        await this.#round(round)
        retryMs = options.retryMsMin
      } catch (error) {
        // A journal that rotted is opened afresh, by a new process (V2).
        if (error instanceof AssertionError || codeOf(error) === 'LOG_CORRUPT') throw error
        if (signal.aborted) return
        session.meet(error)
        volume.stats.fetchFailures += 1
        const fields = { event: 'receive-failed', code: codeOf(error), err: error }
        deps.logger.warn(fields, 'receiving failed; trying again')
        await deps.clock.sleep(retryMs, signal)
        retryMs = Math.min(retryMs * 2, options.retryMsMax)
      }
    }
  }

  async #round(round: Round): Promise<void> {
    const { options, deps, volume } = this.#parts
    const { reader, signal } = round
    const catchUps = reader.readable(this.#parking.positions())
    const places = reader.readable(volume.cursors)
    const waitMsMax = catchUps.size > 0 ? 0 : options.fetchWaitMsMax
    await this.#read(round, { places, mode: 'main', waitMsMax })
    const catchUpsNow = reader.readable(this.#parking.positions())
    await this.#read(round, { places: catchUpsNow, mode: 'catchUp', waitMsMax: 0 })
    for (const disk of this.#heartbeats.overdue()) this.#treatAsGap(disk.diskId)
    this.#healer.tick()
    await this.#copier.step()
    if (places.size + catchUpsNow.size === 0) await deps.clock.sleep(options.fetchWaitMsMax, signal)
  }

  async #read(
    { reader, signal }: Round,
    what: { readonly places: Places; readonly mode: ReadMode; readonly waitMsMax: number },
  ): Promise<void> {
    const { places, mode, waitMsMax } = what
    if (places.size === 0) return
    const divisor = this.#fetchDivisor
    const outcomes = await reader.read(places, { waitMsMax, divisor, signal })
    const batch = new ReceiveBatch()
    const nexts = new Map<number, bigint>()
    for (const outcome of outcomes) this.#take(batch, outcome, { mode, nexts })
    // What follows is on its way while this becomes durable.
    if (mode === 'main' && batch.entries.length > 0 && waitMsMax > 0) {
      reader.readAhead(new Map([...this.#parts.volume.cursors, ...nexts]), { divisor, signal })
    }
    if (await this.#journal(batch, signal)) this.#moveOn(nexts, mode)
  }

  #take(
    batch: ReceiveBatch,
    outcome: ReadOutcome,
    to: { readonly mode: ReadMode; readonly nexts: Map<number, bigint> },
  ): void {
    const { kafkaPartition } = outcome
    if (outcome.kind === 'outOfRange') {
      // A place of parked disks alone is theirs alone: the partition's own is not touched (E2).
      if (to.mode === 'main') this.#topic.outOfRange(outcome)
      else this.#parking.outOfRange(outcome)
      return
    }
    if (outcome.kind === 'damaged') {
      this.#reader.leaveBehind(batch, { ...outcome, mode: to.mode })
      return void to.nexts.set(kafkaPartition, outcome.nextKafkaOffset)
    }
    for (const record of outcome.records) {
      this.#count(record)
      const read = this.#reader.read(batch, { record, kafkaPartition, mode: to.mode })
      // The record is tried again: everything before it counts.
      if (!read) return void to.nexts.set(kafkaPartition, record.kafkaOffset)
    }
    to.nexts.set(kafkaPartition, outcome.nextKafkaOffset)
  }

  #count(record: FetchedRecord): void {
    this.#parts.volume.stats.bytesFetched += record.value.byteLength
  }

  /** False when the journal refused: everything is fetched again after a while. */
  async #journal(batch: ReceiveBatch, signal: AbortSignal): Promise<boolean> {
    const { volume, deps, options } = this.#parts
    try {
      await this.#commit.commit(batch)
      this.#fetchDivisor = 1
      for (const disk of volume.disks.values())
        if (disk.haltedBy('journal') !== null) volume.clear(disk, 'journal')
      return true
    } catch (error) {
      if (error instanceof AssertionError) throw error
      volume.stats.journalFailures += 1
      this.#fetchDivisor = Math.min(this.#fetchDivisor * 4, fetchDivisorMax)
      const { nextCommand } = catalogue.JOURNAL_FAILED
      const halt = haltOf(error, { code: 'JOURNAL_FAILED', nextCommand, message: '' })
      for (const disk of volume.disks.values()) volume.raise(disk, 'journal', halt)
      await deps.clock.sleep(options.retryMsMax / 5, signal)
      return false
    }
  }

  #moveOn(nexts: ReadonlyMap<number, bigint>, mode: ReadMode): void {
    for (const [kafkaPartition, next] of nexts) {
      if (mode === 'main') this.#parts.volume.cursors.set(kafkaPartition, next)
      else for (const disk of this.#parking.advance(kafkaPartition, next)) this.#healer.onRereadDone(disk)
    }
  }

  /** What a heartbeat announced did not come, and no later set showed it. */
  #treatAsGap(diskId: string): void {
    const disk = this.#parts.volume.disk(diskId)
    const { generation, generationId, fromSequence } = this.#heartbeats.missingOf(disk)
    const why = `generation ${generation} is wanted from sequence ${fromSequence}: announced and not arrived`
    const wanted = { kind: 'resend', generation, generationId, fromSequence } as const
    const verdict = { kind: 'halt', code: 'GAP', wanted, why } as const
    this.#healer.onHalt(disk, { verdict, generation, reread: false })
  }
}
