import type { FoldedSet, Heartbeat } from '@blockferry/disk-stream'
import type { OutgoingRecord, ReplicationLog, TopicPartition } from '@blockferry/replication-log'
import { codeOf, MiB } from '@blockferry/runtime'
import { encodeHeartbeat, encodeUpdateSet, type PackedPayload } from '@blockferry/schemas'
import { BackOff } from './back-off.ts'
import type { FoldingBudget } from './folding-budget.ts'
import { isPassing } from './kafka-trouble.ts'
import type { AggregatorDeps, AggregatorOptions } from './ports.ts'
import { Wake } from './wake.ts'

/*
 * The output side of one partition.
 *
 * Invariant O1: records leave in the order in which they were put in, whatever their packing takes.
 * Invariant O2: one produce is outstanding; while it flies the rest accumulates, then goes as one batch (K6).
 * A failed batch is sent again as it was, before anything behind it.
 */

/** Most bytes of one batch; a single record may be longer (K6). */
export const batchBytesMax = 4 * MiB

interface Entry {
  /** Null while the payload is being packed. */
  record: OutgoingRecord | null
  /** Counted against the budget until the record is acknowledged. */
  heldBytes: number
  readonly resumeInputOffset: bigint
}

export class PartitionOutput {
  readonly #deps: AggregatorDeps
  readonly #log: ReplicationLog
  readonly #partition: TopicPartition
  readonly #budget: FoldingBudget
  readonly #backOff: BackOff
  readonly #progress = new Wake()
  readonly #queue: Entry[] = []
  #queuedBytes = 0
  #dropped = false
  #packFailure: { readonly error: unknown } | null = null
  #trouble: string | null = null
  #resumeInputOffset: bigint | null = null

  constructor(
    deps: AggregatorDeps,
    parts: {
      readonly log: ReplicationLog
      readonly partition: TopicPartition
      readonly budget: FoldingBudget
    },
    options: Pick<AggregatorOptions, 'backOffMsMin' | 'backOffMsMax'>,
  ) {
    this.#deps = deps
    this.#log = parts.log
    this.#partition = parts.partition
    this.#budget = parts.budget
    this.#backOff = new BackOff(deps.random, { msMin: options.backOffMsMin, msMax: options.backOffMsMax })
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Code of the error for which the oldest batch waits; null while all is well. */
  get trouble(): string | null {
    return this.#trouble
  }

  /** Of the last acknowledged record (K4); null before the first. */
  get resumeInputOffset(): bigint | null {
    return this.#resumeInputOffset
  }

  /** Takes a folded set over. Its bytes must already be counted in the budget. */
  putSet(set: FoldedSet, resumeInputOffset: bigint): void {
    const entry: Entry = { record: null, heldBytes: set.copiedBytes, resumeInputOffset }
    this.#queue.push(entry)
    this.#queuedBytes += entry.heldBytes
    // The pieces are not passed on: they are free as soon as the packer has joined them.
    const { data, ...header } = set
    void this.#finish(header, this.#deps.pack(data), entry)
  }

  /** Takes a heartbeat: it passes at once, behind what stands here already (A2). */
  putHeartbeat(key: Buffer | null, stamped: { heartbeat: Heartbeat; resumeInputOffset: bigint }): void {
    const { heartbeat, resumeInputOffset } = stamped
    const value = encodeHeartbeat({ ...heartbeat, resumeInputOffset })
    const entry: Entry = { record: null, heldBytes: 0, resumeInputOffset }
    this.#queue.push(entry)
    this.#settle(entry, { key: key === null ? Buffer.from(heartbeat.agentId) : Buffer.from(key), value })
  }

  /** Sends until the signal aborts. Throws what this client cannot get over. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#packFailure !== null) throw this.#packFailure.error
      const batch = this.#nextBatch()
      if (batch.length === 0) await this.#progress.wait(signal)
      else await this.#send(batch, signal)
    }
  }

  /** Gives back what was never acknowledged: the partition has gone to another member. */
  drop(): void {
    for (const entry of this.#queue) this.#hold(entry, 0)
    this.#queue.length = 0
    this.#dropped = true
  }

  async #finish(
    header: Omit<FoldedSet, 'data'>,
    packing: Promise<PackedPayload>,
    entry: Entry,
  ): Promise<void> {
    try {
      const packed = await packing
      this.#deps.meter.setPacked(packed.payload.length)
      const value = encodeUpdateSet({ ...header, ...packed, resumeInputOffset: entry.resumeInputOffset })
      this.#settle(entry, { key: Buffer.from(header.diskId), value })
    } catch (error) {
      this.#packFailure ??= { error }
      this.#progress.wake()
    }
  }

  #settle(entry: Entry, record: OutgoingRecord): void {
    if (this.#dropped) return
    entry.record = record
    this.#hold(entry, record.key.length + record.value.length)
    this.#progress.wake()
  }

  #hold(entry: Entry, heldBytes: number): void {
    const change = heldBytes - entry.heldBytes
    entry.heldBytes = heldBytes
    this.#queuedBytes += change
    this.#budget.change(change)
  }

  /** The packed entries at the head, up to a batch's size. */
  #nextBatch(): readonly OutgoingRecord[] {
    const batch: OutgoingRecord[] = []
    let bytes = 0
    for (const { record, heldBytes } of this.#queue) {
      bytes += heldBytes
      if (record === null || (batch.length > 0 && bytes > batchBytesMax)) break
      batch.push(record)
    }
    return batch
  }

  async #send(records: readonly OutgoingRecord[], signal: AbortSignal): Promise<void> {
    const startedAtMs = this.#deps.clock.monotonicMs()
    while (!(await this.#tryToSend(records, signal))) {
      await this.#deps.clock.sleep(this.#backOff.nextDelayMs(), signal)
      if (signal.aborted) return
    }
    this.#backOff.reset()
    this.#trouble = null
    const latencyMs = this.#deps.clock.monotonicMs() - startedAtMs
    let bytes = 0
    for (const entry of this.#queue.splice(0, records.length)) {
      bytes += entry.heldBytes
      this.#resumeInputOffset = entry.resumeInputOffset
      this.#hold(entry, 0)
    }
    this.#deps.meter.produced({ records: records.length, bytes, latencyMs })
  }

  async #tryToSend(records: readonly OutgoingRecord[], signal: AbortSignal): Promise<boolean> {
    try {
      await this.#log.produce({ ...this.#partition, records }, signal)
      return true
    } catch (error) {
      if (signal.aborted || !isPassing(error)) throw error
      this.#noteTrouble(error)
      return false
    }
  }

  #noteTrouble(error: unknown): void {
    const code = codeOf(error)
    this.#deps.meter.kafkaFailed(code)
    if (this.#trouble === code) return
    this.#trouble = code
    const fields = { event: 'output-waits', code, err: error, ...this.#partition }
    this.#deps.logger.warn(fields, `update sets wait: ${code}; trying again until it works`)
  }
}
