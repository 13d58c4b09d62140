import type { DiskWindow } from '@blockferry/disk-stream'
import {
  type FetchedRecord,
  type FetchOutcome,
  nextAfterDamage,
  type ReplicationLog,
  type TopicPartition,
} from '@blockferry/replication-log'
import { codeOf, Fault } from '@blockferry/runtime'
import { BackOff } from './back-off.ts'
import { fault } from './error-catalogue.ts'
import type { FoldingBudget } from './folding-budget.ts'
import { isPassing } from './kafka-trouble.ts'
import { PartitionOutput } from './partition-output.ts'
import type { PartitionProgress, PartitionState } from './partition-progress.ts'
import { PartitionStream } from './partition-stream.ts'
import type { AggregatorDeps, AggregatorOptions } from './ports.ts'
import { clampToInput, findResumePoint, type ResumePoint } from './resume-point.ts'

/*
 * One assigned partition: input i of the raw writes to output i of the update sets (K2).
 *
 *   RESUMING ──place found──► RUNNING ◄──► BLOCKED (output waits for Kafka)
 *                               │  ▲
 *       record cannot be read   ▼  │ readable at last, or passed over
 *                             HALTED (read again with back-off; the other partitions go on)
 */

export interface WorkerParts {
  readonly log: ReplicationLog
  readonly budget: FoldingBudget
  readonly kafkaPartition: number
}

/** Why the input stands still. */
interface Halt {
  readonly code: string
  readonly nextCommand: string
  readonly kafkaOffset: bigint
  readonly reads: number
}

type RecordsOutcome = Extract<FetchOutcome, { kind: 'records' }>

export class PartitionWorker {
  readonly input: TopicPartition
  readonly #deps: AggregatorDeps
  readonly #options: AggregatorOptions
  readonly #parts: WorkerParts
  readonly #output: PartitionOutput
  readonly #backOff: BackOff
  #stream: PartitionStream | null = null
  #halt: Halt | null = null
  #trouble: string | null = null
  #notBeforeMs = 0
  #highWatermark: bigint | null = null
  #lastReadAtMs: number | null = null
  #passedOver = 0
  /** Where reading went on behind a damaged batch. */
  #damageLeftAt: bigint | null = null

  constructor(deps: AggregatorDeps, parts: WorkerParts, options: AggregatorOptions) {
    const { kafkaPartition } = parts
    this.input = { topic: options.inputTopic, kafkaPartition }
    this.#deps = deps
    this.#options = options
    this.#parts = parts
    const output = { topic: options.outputTopic, kafkaPartition }
    this.#output = new PartitionOutput(deps, { ...parts, partition: output }, options)
    this.#backOff = new BackOff(deps.random, { msMin: options.backOffMsMin, msMax: options.backOffMsMax })
  }

  /** Finds the place to resume (K4), then sends what `take` folds until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      const point = await this.#resume(signal)
      if (point === null) return
      const { budget } = this.#parts
      const from = { inputOffset: point.kafkaOffset, windowAgeMsMax: this.#options.windowAgeMsMax }
      this.#stream = new PartitionStream(this.#deps, { output: this.#output, budget }, from)
      await this.#output.run(signal)
    } finally {
      this.#stream?.drop()
      this.#stream = null
      this.#output.drop()
    }
  }

  /** Next input offset to be taken; null while resuming. */
  get inputOffset(): bigint | null {
    return this.#stream?.inputOffset ?? null
  }

  /** Offset to fetch from; null while nothing is to be fetched. */
  fetchOffset(nowMs: number): bigint | null {
    const blocked = this.#output.queuedBytes >= this.#options.queuedBytesMax
    return this.#stream === null || blocked || nowMs < this.#notBeforeMs ? null : this.#stream.inputOffset
  }

  /** What a fetch from `fetchOffset` brought. Throws what this client cannot get over. */
  accept(outcome: FetchOutcome): void {
    const stream = this.#stream
    if (stream === null) return
    if (outcome.kind === 'records') this.#acceptRecords(stream, outcome)
    else if (outcome.kind === 'outOfRange') this.#leaveRange(stream, outcome)
    else if (this.#leaveDamage(stream, outcome.cause)) return
    else if (isPassing(outcome.cause)) this.#noteTrouble(outcome.cause)
    else throw outcome.cause
  }

  /** Monotonic ms at which the next window is due; null when none is open. */
  get dueAtMs(): number | null {
    return this.#stream?.windows.first()?.dueAtMs ?? null
  }

  closeDue(nowMs: number): void {
    this.#stream?.closeDue(nowMs)
  }

  largestWindow(): DiskWindow | null {
    return this.#stream?.windows.largest() ?? null
  }

  /** A3: the budget is used up. */
  closeForBudget(window: DiskWindow): void {
    this.#stream?.closeWindow(window, 'budget')
  }

  get progress(): PartitionProgress {
    const stream = this.#stream
    const halt = this.#halt
    const backlog = this.#backlog()
    return {
      kafkaPartition: this.input.kafkaPartition,
      state: this.#state(),
      code: halt?.code ?? this.#output.trouble ?? this.#trouble,
      nextCommand: halt?.nextCommand ?? null,
      inputOffset: stream?.inputOffset ?? null,
      ...backlog,
      resumeInputOffset: this.#output.resumeInputOffset,
      disks: stream?.windows.disks ?? 0,
      openWindows: stream?.windows.openCount ?? 0,
      windowBytes: stream?.windows.bufferedBytes ?? 0,
      queuedBytes: this.#output.queuedBytes,
      passedOver: this.#passedOver,
    }
  }

  #state(): PartitionState {
    if (this.#stream === null) return 'RESUMING'
    if (this.#halt !== null) return 'HALTED'
    return this.#output.trouble === null && this.#trouble === null ? 'RUNNING' : 'BLOCKED'
  }

  #backlog(): { readonly backlogRecords: number | null; readonly backlogAgeMs: number } {
    const next = this.#stream?.inputOffset ?? null
    if (next === null || this.#highWatermark === null) return { backlogRecords: null, backlogAgeMs: 0 }
    const backlogRecords = Math.max(0, Number(this.#highWatermark - next))
    const ageMs = this.#deps.clock.wallMs() - (this.#lastReadAtMs ?? this.#deps.clock.wallMs())
    return { backlogRecords, backlogAgeMs: backlogRecords === 0 ? 0 : Math.max(0, ageMs) }
  }

  async #resume(signal: AbortSignal): Promise<ResumePoint | null> {
    const { kafkaPartition, log } = this.#parts
    const partitions = { input: this.input, output: { topic: this.#options.outputTopic, kafkaPartition } }
    while (!signal.aborted) {
      try {
        const point = await findResumePoint(log, partitions, signal)
        this.#clearTrouble()
        this.#announce(point)
        return point
      } catch (error) {
        if (signal.aborted || !isPassing(error)) throw error
        await this.#deps.clock.sleep(this.#noteTrouble(error), signal)
      }
    }
    return null
  }

  #acceptRecords(stream: PartitionStream, outcome: RecordsOutcome): void {
    this.#highWatermark = outcome.highWatermark
    if (this.#trouble !== null) this.#clearTrouble()
    for (const record of outcome.records) {
      // A broker answers with whole batches: records before the wanted offset may come along.
      if (record.kafkaOffset < stream.inputOffset) continue
      if (!this.#takeOne(stream, record)) return
    }
    if (outcome.nextKafkaOffset > stream.inputOffset) stream.moveTo(outcome.nextKafkaOffset)
  }

  /** False: the partition stands before this record. */
  #takeOne(stream: PartitionStream, record: FetchedRecord): boolean {
    try {
      stream.take(record)
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      if (!this.#giveUpOn(error, record.kafkaOffset)) return false
      stream.moveTo(record.kafkaOffset + 1n)
    }
    this.#lastReadAtMs = record.timestampMs
    if (this.#halt !== null) this.#endHalt()
    return true
  }

  /**
   * True once a damaged record was read often enough: it stays damaged, and its disk, not all disks of the
   * partition, has to wait for a re-send (its GAP shows at the target). An unknown schema is not damage: a
   * newer aggregator reads it, so it halts for as long as it takes.
   */
  #giveUpOn(error: Fault, kafkaOffset: bigint): boolean {
    const reads = this.#halt?.kafkaOffset === kafkaOffset ? this.#halt.reads + 1 : 1
    this.#deps.meter.recordUnreadable(error.code)
    const where = { ...this.input, kafkaOffset: kafkaOffset.toString() }
    if (error.code !== 'UNKNOWN_SCHEMA' && reads >= this.#options.damagedReadsMax) {
      this.#passOver(error, kafkaOffset)
      return true
    }
    if (reads === 1) {
      this.#deps.logger.error({ event: 'partition-halted', err: error, ...where }, error.message)
    }
    this.#halt = { code: error.code, nextCommand: error.nextCommand, kafkaOffset, reads }
    this.#notBeforeMs = this.#deps.clock.monotonicMs() + this.#backOff.nextDelayMs()
    return false
  }

  #passOver(error: Fault, kafkaOffset: bigint): void {
    const passed = fault('RECORD_PASSED_OVER', `${error.code} at offset ${kafkaOffset}`, { cause: error })
    const where = { ...this.input, kafkaOffset: kafkaOffset.toString() }
    this.#deps.logger.error({ event: 'record-passed-over', err: passed, ...where }, passed.message)
    this.#deps.meter.recordPassedOver(error.code)
    this.#passedOver += 1
  }

  /**
   * A batch damaged where it is stored: read again a few times, then left behind. K4 allows it: the resume point
   * passes what was left out, as with one record; the re-send comes through here as new input. True when it was
   * dealt with.
   */
  #leaveDamage(stream: PartitionStream, cause: unknown): boolean {
    const nextInputOffset = nextAfterDamage(cause)
    if (nextInputOffset === null || !(cause instanceof Fault)) return false
    const { inputOffset } = stream
    // Where it ends may be a guess: where the damage goes on there, it is not tried anew.
    if (this.#damageLeftAt === inputOffset) this.#passOver(cause, inputOffset)
    else if (!this.#giveUpOn(cause, inputOffset)) return true
    stream.moveTo(nextInputOffset)
    this.#damageLeftAt = nextInputOffset
    if (this.#halt !== null) this.#endHalt()
    return true
  }

  #endHalt(): void {
    this.#halt = null
    this.#backOff.reset()
    this.#deps.logger.info({ event: 'partition-goes-on', ...this.input }, 'the partition goes on')
  }

  /** The input was truncated under us, or replaced: what was folded is sent, then on from what there is. */
  #leaveRange(stream: PartitionStream, range: { readonly earliest: bigint; readonly latest: bigint }): void {
    stream.closeAll('discontinuity')
    const point = clampToInput(stream.inputOffset, range)
    stream.moveTo(point.kafkaOffset)
    this.#halt = null
    this.#announce(point)
  }

  #announce(point: ResumePoint): void {
    const kafkaOffset = point.kafkaOffset.toString()
    if (point.found === 'truncated' || point.found === 'replaced') {
      const code = point.found === 'truncated' ? 'INPUT_TRUNCATED' : 'INPUT_REPLACED'
      const error = fault(code, `reading on from offset ${kafkaOffset}`)
      this.#deps.logger.error({ event: 'input-lost', err: error, ...this.input }, error.message)
    } else {
      const fields = { event: 'partition-resumed', ...this.input, kafkaOffset, found: point.found }
      this.#deps.logger.info(fields, `partition resumed at offset ${kafkaOffset}`)
    }
  }

  /** Returns how long to wait. */
  #noteTrouble(error: unknown): number {
    const code = codeOf(error)
    this.#deps.meter.kafkaFailed(code)
    const delayMs = this.#backOff.nextDelayMs()
    this.#notBeforeMs = this.#deps.clock.monotonicMs() + delayMs
    if (this.#trouble !== code) {
      this.#trouble = code
      const fields = { event: 'input-waits', code, err: error, ...this.input }
      this.#deps.logger.warn(fields, `raw writes cannot be read: ${code}; trying again until it works`)
    }
    return delayMs
  }

  #clearTrouble(): void {
    this.#trouble = null
    if (this.#halt === null) this.#backOff.reset()
  }
}
