/*
 * Follows the small topics that say how things stand: `disks`, `site-b.disks`, `site-b.positions`,
 * `site-b.requests` (T9). They are read from their beginning at every start: compacted and short.
 *
 * Invariant SW1: what stands in them never ends the process, nor the streams that go on beside it (G1).
 * Invariant SW2: nothing is minted while a fact cannot be read, for it may name a higher generation (S2). A
 * request that cannot be read is passed over: whoever asked asks again.
 */
import type { StreamRequest } from '@blockferry/disk-stream'
import { codeOf, Fault, KiB, MiB } from '@blockferry/runtime'
import {
  type FetchOutcome,
  remoteTopic,
  type ReplicationLog,
  topicNames,
  type TopicPartition,
} from '@blockferry/replication-log'
import { decodeRecord } from '@blockferry/schemas'
import { fault } from '../error-catalogue.ts'
import { BackOff, type KafkaLink, linkCodeOf } from './kafka-link.ts'
import type { ShipperDeps, ShipperOptions } from './shipper-ports.ts'
import type { SiteFacts } from './site-facts.ts'

const fetchWaitMsMax = 500
const partitionBytesMax = 256 * KiB
const fetchBytesMax = 1 * MiB
/** Longest wait until everything written so far has been read, before a generation is minted. */
const catchUpMsMax = 15_000
const catchUpPollMs = 20
/** How often a fact that cannot be read is tried again. */
const unreadableRetryMs = 10_000

interface Unreadable {
  readonly error: Fault
  readonly kafkaOffset: bigint
  readonly retryAtMs: number
}

export class SiteWatch {
  readonly #deps: ShipperDeps
  readonly #link: KafkaLink
  readonly #facts: SiteFacts
  readonly #onRequest: (request: StreamRequest) => void
  readonly #topics: readonly string[]
  readonly #requests: string
  readonly #next = new Map<string, bigint>()
  readonly #unreadable = new Map<string, Unreadable>()

  constructor(parts: {
    readonly deps: ShipperDeps
    readonly options: ShipperOptions
    readonly link: KafkaLink
    readonly facts: SiteFacts
    readonly onRequest: (request: StreamRequest) => void
  }) {
    this.#deps = parts.deps
    this.#link = parts.link
    this.#facts = parts.facts
    this.#onRequest = parts.onRequest
    const { peerSite } = parts.options
    const remote = (['disks', 'positions', 'requests'] as const).map((topic) => remoteTopic(peerSite, topic))
    this.#topics = [topicNames.disks, ...remote]
    this.#requests = remoteTopic(peerSite, 'requests')
  }

  async run(signal: AbortSignal): Promise<void> {
    const backOff = new BackOff(this.#deps.clock)
    while (!signal.aborted) {
      try {
        await using lent = await this.#link.borrow()
        await this.#follow(lent.log, signal, () => backOff.reset())
      } catch (error) {
        const code = linkCodeOf(error)
        if (signal.aborted) return
        this.#deps.listener.kafka(null, code)
        // Closed by the lane that met the trouble first, which told it.
        if (codeOf(error) !== 'LOG_CLOSED') this.#deps.listener.trouble(error)
        await backOff.wait(signal)
      }
    }
  }

  async #follow(client: ReplicationLog, signal: AbortSignal, onAnswer: () => void): Promise<void> {
    try {
      while (!signal.aborted && this.#link.isCurrent(client)) {
        const positions = await this.#positions(client)
        const request = { positions, waitMsMax: fetchWaitMsMax, partitionBytesMax, bytesMax: fetchBytesMax }
        const outcomes = await client.fetch(request, signal)
        for (const outcome of outcomes) this.#take(outcome)
        onAnswer()
        this.#deps.listener.kafka(null, this.#unreadable.size === 0 ? null : 'FACTS_UNREADABLE')
      }
    } catch (error) {
      this.#link.retire(client)
      throw error
    }
  }

  async #positions(client: ReplicationLog) {
    const positions = []
    const nowMs = this.#deps.clock.monotonicMs()
    for (const topic of this.#topics) {
      // The topic of requests always remains: there is something to fetch.
      if ((this.#unreadable.get(topic)?.retryAtMs ?? 0) > nowMs) continue
      let kafkaOffset = this.#next.get(topic)
      if (kafkaOffset === undefined) {
        kafkaOffset = (await client.offsets({ topic, kafkaPartition: 0 })).earliest
        this.#next.set(topic, kafkaOffset)
      }
      positions.push({ topic, kafkaPartition: 0, kafkaOffset })
    }
    return positions
  }

  #take(outcome: FetchOutcome): void {
    switch (outcome.kind) {
      case 'records':
        this.#takeRecords(outcome)
        break
      case 'outOfRange':
        // Compaction and retention never lose a newest record; what is read twice folds by maximum (K5).
        this.#next.set(outcome.topic, outcome.earliest)
        break
      case 'failed':
        throw outcome.cause
    }
  }

  #takeRecords({ topic, records, nextKafkaOffset }: Extract<FetchOutcome, { kind: 'records' }>): void {
    for (const { kafkaOffset, value } of records) {
      if (this.#tryRecord(value, { topic, kafkaOffset })) continue
      this.#next.set(topic, kafkaOffset)
      return
    }
    this.#unreadable.delete(topic)
    this.#next.set(topic, nextKafkaOffset)
  }

  /** False: the topic stands before this record (SW2). */
  #tryRecord(value: Buffer, at: { readonly topic: string; readonly kafkaOffset: bigint }): boolean {
    try {
      this.#takeRecord(value)
      return true
    } catch (cause) {
      if (!(cause instanceof Fault)) throw cause
      const { kafkaOffset, topic } = at
      const message = `the record at ${kafkaOffset} of ${topic} cannot be read: ${cause.message}`
      const error = fault('FACTS_UNREADABLE', message, { cause })
      if (this.#unreadable.get(topic)?.kafkaOffset !== kafkaOffset) this.#deps.listener.trouble(error)
      if (topic === this.#requests) return true
      const retryAtMs = this.#deps.clock.monotonicMs() + unreadableRetryMs
      this.#unreadable.set(topic, { error, kafkaOffset, retryAtMs })
      return false
    }
  }

  #takeRecord(value: Buffer): void {
    if (value.length === 0) return
    const { kind, record } = decodeRecord(value)
    switch (kind) {
      case 'DiskDescriptor':
        this.#facts.sawDescriptor(record)
        break
      case 'Ownership':
        this.#facts.sawGeneration(record.diskId, record.generation.number)
        break
      case 'PositionReport': {
        const received = this.#facts.sawPosition(record)
        if (received !== null) this.#deps.listener.received(record.diskId, received)
        const isBetter = this.#facts.sawEcho(record, this.#deps.clock.wallMs())
        const { skew } = this.#facts
        if (isBetter && skew !== null) this.#deps.listener.skew(skew)
        break
      }
      case 'StreamRequest':
        this.#onRequest(record)
        break
      case 'WriteGroup':
      case 'UpdateSet':
      case 'Heartbeat':
        throw fault('FACTS_UNREADABLE', `a ${kind} is no fact`)
    }
  }

  /**
   * Resolves once everything that was in the topics at the call has been folded in.
   * @throws FACTS_UNREADABLE, KAFKA_UNREACHABLE
   */
  async caughtUp(client: ReplicationLog, signal: AbortSignal): Promise<void> {
    const goals: (TopicPartition & { readonly latest: bigint })[] = []
    for (const topic of this.#topics) {
      const { latest } = await client.offsets({ topic, kafkaPartition: 0 })
      goals.push({ topic, kafkaPartition: 0, latest })
    }
    const { clock } = this.#deps
    const untilMs = clock.monotonicMs() + catchUpMsMax
    while (!goals.every(({ latest, topic }) => (this.#next.get(topic) ?? -1n) >= latest)) {
      for (const { error } of this.#unreadable.values()) throw error
      if (signal.aborted || clock.monotonicMs() > untilMs) {
        throw fault(
          'KAFKA_UNREACHABLE',
          `the topics of facts could not be read through in ${catchUpMsMax} ms`,
        )
      }
      await clock.sleep(catchUpPollMs, signal)
    }
  }
}
