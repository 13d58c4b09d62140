import { assert, type Clock } from '@blockferry/runtime'
import { fault } from '../faults.ts'
import { partitionKey } from '../one-per-partition.ts'
import type { FetchedRecord, ReplicationLog, TopicPartition, TopicSpec } from '../replication-log.ts'
import { MemoryClient } from './client.ts'
import { MemoryGroups } from './group.ts'
import { type FrozenBatch, MemoryTopic, type MemoryPartition } from './topic.ts'

/** Where a client stands when the simulation may stop it, delay it, or let another run first. */
export interface MemoryStepPoint {
  readonly clientId: string
  readonly operation:
    | 'produce'
    | 'fetch'
    | 'offsets'
    | 'offsetAtTime'
    | 'deleteBefore'
    | 'topics'
    | 'joinGroup'
  /** `before` the cluster sees it, `after` the cluster did it and the client does not know yet. */
  readonly phase: 'before' | 'after'
  readonly partition?: TopicPartition
}

/** Awaited at each point; a promise that never resolves is a process that died there. */
export type MemoryStep = (point: MemoryStepPoint) => Promise<void>

/** What the next produce to a partition meets. */
export type ProduceFailure =
  /** Appended, the answer lost, the client's frozen retry finds it: exactly once. */
  | 'acknowledgementLostThenRetried'
  /** Appended, the answer lost for good: the produce throws KAFKA_TIMEOUT. */
  | 'acknowledgementLost'
  /** Not appended: the produce throws KAFKA_TIMEOUT. */
  | 'requestLost'
  /** Not appended, and a retry would not change it. */
  | 'notAuthorized'
  | 'timestampRejected'

export interface MemoryClusterOptions {
  readonly clock: Clock
  readonly step?: MemoryStep
  /** How long an operation waits for an unavailable cluster before it throws KAFKA_UNREACHABLE. */
  readonly unavailableWaitMs?: number
}

const unavailableWaitMsDefault = 1_000

/**
 * A Kafka cluster in memory, shared by the clients that `connect` to it. Deterministic: time comes from
 * the clock, interleaving from `step`, ids from counters. Faults are injected on this object.
 */
export class MemoryCluster {
  readonly clock: Clock
  readonly step: MemoryStep
  readonly groups = new MemoryGroups(this)
  readonly #topics = new Map<string, MemoryTopic>()
  readonly #failures = new Map<string, ProduceFailure[]>()
  readonly #clients = new Map<string, Set<MemoryClient>>()
  readonly #waiters = new Set<() => void>()
  readonly #unavailableWaitMs: number
  #available = true
  #topicsMade = 0
  #sessionsMade = 0

  constructor(options: MemoryClusterOptions) {
    this.clock = options.clock
    this.step = options.step ?? (() => Promise.resolve())
    this.#unavailableWaitMs = options.unavailableWaitMs ?? unavailableWaitMsDefault
  }

  connect(options: {
    readonly clientId: string
    readonly groupInstanceId?: string
    readonly unavailableWaitMs?: number
  }): ReplicationLog {
    const defaults = { unavailableWaitMs: this.#unavailableWaitMs, groupInstanceId: null }
    const client = new MemoryClient(this, { ...defaults, ...options })
    const clients = this.#clients.get(options.clientId) ?? new Set()
    this.#clients.set(options.clientId, clients.add(client))
    return client
  }

  get available(): boolean {
    return this.#available
  }

  /** All brokers gone (false) or back (true); what they stored stays. */
  setAvailable(available: boolean): void {
    this.#available = available
    this.announceChange()
  }

  failNextProduce(partition: TopicPartition, failure: ProduceFailure): void {
    const key = partitionKey(partition)
    this.#failures.set(key, [...(this.#failures.get(key) ?? []), failure])
  }

  takeFailure(partition: TopicPartition): ProduceFailure | undefined {
    return this.#failures.get(partitionKey(partition))?.shift()
  }

  /** Clients of that id that are connected and not closed. */
  openClients(clientId: string): number {
    return [...(this.#clients.get(clientId) ?? [])].filter((client) => !client.isClosed).length
  }

  /** kill -9 of a client's process, seen from the cluster: its handles end, its group membership expires. */
  async crashClient(clientId: string): Promise<void> {
    const clients = this.#clients.get(clientId) ?? new Set()
    this.#clients.delete(clientId)
    for (const client of clients) await client.close()
  }

  /** Retention ran ahead of a reader. */
  truncateBefore(partition: TopicPartition, kafkaOffset: bigint): void {
    this.partition(partition).dropBefore(kafkaOffset)
    this.announceChange()
  }

  /** The cluster lost acknowledged records from this offset on. */
  truncateFrom(partition: TopicPartition, kafkaOffset: bigint): void {
    this.partition(partition).dropFrom(kafkaOffset)
    this.announceChange()
  }

  corruptValue(partition: TopicPartition, kafkaOffset: bigint, change: (value: Buffer) => Buffer): void {
    this.partition(partition).replaceValue(kafkaOffset, change)
  }

  /** The batch from one offset to before another fails its checksum from now on, whoever reads it. */
  damageBatch(partition: TopicPartition, batch: { readonly from: bigint; readonly to: bigint }): void {
    this.partition(partition).damage(batch.from, batch.to)
  }

  createTopic(spec: TopicSpec): MemoryTopic {
    assert(!this.#topics.has(spec.topic), `topic ${spec.topic} exists`)
    this.#topicsMade += 1
    const topicId = this.#topicsMade.toString(16).padStart(32, '0')
    const topic = new MemoryTopic(spec, topicId)
    this.#topics.set(spec.topic, topic)
    this.announceChange()
    return topic
  }

  deleteTopic(name: string): void {
    this.#topics.delete(name)
    this.announceChange()
  }

  topic(name: string): MemoryTopic | undefined {
    return this.#topics.get(name)
  }

  partition({ topic, kafkaPartition }: TopicPartition): MemoryPartition {
    const found = this.#topics.get(topic)
    if (found === undefined) throw fault('TOPIC_UNKNOWN', `the cluster has no topic ${topic}`)
    return found.partition(kafkaPartition)
  }

  /** What a partition holds, for checkers. */
  records(partition: TopicPartition): readonly FetchedRecord[] {
    return this.partition(partition).records
  }

  appendBatch(partition: TopicPartition, batch: FrozenBatch): bigint {
    const firstKafkaOffset = this.partition(partition).append(batch, this.clock.wallMs())
    this.announceChange()
    return firstKafkaOffset
  }

  newSession(): string {
    this.#sessionsMade += 1
    return `session-${this.#sessionsMade}`
  }

  announceChange(): void {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const wake of waiters) wake()
  }

  /** Resolves at the next change of the cluster, at the delay, or when the signal aborts. */
  async changeOrDelay(delayMs: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return
    const timer = new AbortController()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiters.add(resolve)
    signal?.addEventListener('abort', () => resolve(), { once: true, signal: timer.signal })
    try {
      await Promise.race([promise, this.clock.sleep(delayMs, timer.signal)])
    } finally {
      this.#waiters.delete(resolve)
      timer.abort()
    }
  }
}

/** A new, empty, available cluster. */
export function createMemoryCluster(options: MemoryClusterOptions): MemoryCluster {
  return new MemoryCluster(options)
}
