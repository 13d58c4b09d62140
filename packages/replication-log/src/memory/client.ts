import { assert } from '@blockferry/runtime'
import { fault } from '../faults.ts'
import { OnePerPartition, partitionKey } from '../one-per-partition.ts'
import type {
  AssignmentListener,
  FetchOutcome,
  FetchRequest,
  GroupMembership,
  ProduceRequest,
  ReplicationLog,
  TopicDescription,
  TopicPartition,
  TopicSpec,
} from '../replication-log.ts'
import { describeDifferences, topicDifferences } from '../topic-comparison.ts'
import type { MemoryCluster, MemoryStepPoint, ProduceFailure } from './cluster.ts'
import { MemoryFetch } from './fetch.ts'
import type { FrozenBatch } from './topic.ts'

interface Session {
  readonly session: string
  readonly sequence: number
}

/** One client of a memory cluster. */
export class MemoryClient implements ReplicationLog {
  readonly #cluster: MemoryCluster
  readonly #clientId: string
  readonly #groupInstanceId: string | null
  readonly #unavailableWaitMs: number
  readonly #outstanding = new OnePerPartition()
  readonly #sessions = new Map<string, Session>()
  readonly #topicIds = new Map<string, string>()
  readonly #memberships = new Set<GroupMembership>()
  readonly #fetch: MemoryFetch
  readonly #closing = new AbortController()

  constructor(
    cluster: MemoryCluster,
    options: {
      readonly clientId: string
      readonly groupInstanceId: string | null
      readonly unavailableWaitMs: number
    },
  ) {
    this.#cluster = cluster
    this.#clientId = options.clientId
    this.#groupInstanceId = options.groupInstanceId
    this.#unavailableWaitMs = options.unavailableWaitMs
    this.#fetch = new MemoryFetch(cluster, (topic) => this.#checkTopic(topic))
  }

  async produce(
    request: ProduceRequest,
    signal?: AbortSignal,
  ): Promise<{ readonly firstKafkaOffset: bigint }> {
    assert(request.records.length > 0, 'a produce carries at least one record')
    return this.#outstanding.run(request, async () => {
      const partition = { topic: request.topic, kafkaPartition: request.kafkaPartition }
      await this.#enter({ operation: 'produce', partition }, signal)
      this.#checkTopic(request.topic)
      this.#checkSize(request)
      const firstKafkaOffset = this.#send(partition, this.#freeze(partition, request))
      await this.#leave({ operation: 'produce', partition }, signal)
      return { firstKafkaOffset }
    })
  }

  async fetch(request: FetchRequest, signal?: AbortSignal): Promise<readonly FetchOutcome[]> {
    await this.#step({ operation: 'fetch', phase: 'before' })
    const outcomes = await this.#fetch.run(request, this.#combined(signal))
    this.#throwIfStopped(signal)
    await this.#leave({ operation: 'fetch' }, signal)
    return outcomes
  }

  async offsets(partition: TopicPartition): Promise<{ readonly earliest: bigint; readonly latest: bigint }> {
    await this.#enter({ operation: 'offsets', partition })
    this.#checkTopic(partition.topic)
    const { earliest, latest } = this.#cluster.partition(partition)
    return { earliest, latest }
  }

  async offsetAtTime(partition: TopicPartition, timestampMs: number): Promise<bigint | null> {
    await this.#enter({ operation: 'offsetAtTime', partition })
    this.#checkTopic(partition.topic)
    return this.#cluster.partition(partition).firstAtOrAfter(timestampMs)
  }

  async deleteBefore(partition: TopicPartition, kafkaOffset: bigint): Promise<void> {
    await this.#enter({ operation: 'deleteBefore', partition })
    this.#checkTopic(partition.topic)
    const { latest } = this.#cluster.partition(partition)
    if (kafkaOffset > latest) {
      throw fault(
        'KAFKA_REJECTED',
        `cannot delete ${partitionKey(partition)} before ${kafkaOffset}: it ends at ${latest}`,
      )
    }
    this.#cluster.truncateBefore(partition, kafkaOffset)
    await this.#leave({ operation: 'deleteBefore', partition })
  }

  async ensureTopics(specs: readonly TopicSpec[]): Promise<readonly TopicDescription[]> {
    await this.#enter({ operation: 'topics' })
    const descriptions = specs.map((spec) => {
      return (this.#cluster.topic(spec.topic) ?? this.#cluster.createTopic(spec)).describe()
    })
    const differences = specs.flatMap((spec, index) => {
      const found = descriptions[index]
      return found === undefined ? [] : topicDifferences(spec, found)
    })
    if (differences.length > 0) {
      throw fault('TOPIC_MISMATCH', describeDifferences(differences), { details: { differences } })
    }
    for (const spec of specs) this.#checkTopic(spec.topic)
    return descriptions
  }

  async describeTopic(topic: string): Promise<TopicDescription | null> {
    await this.#enter({ operation: 'topics' })
    return this.#cluster.topic(topic)?.describe() ?? null
  }

  async joinGroup(options: {
    readonly groupId: string
    readonly topics: readonly string[]
    readonly onAssignment: AssignmentListener
  }): Promise<GroupMembership> {
    await this.#enter({ operation: 'joinGroup' })
    const identity = { clientId: this.#clientId, groupInstanceId: this.#groupInstanceId }
    const membership = await this.#cluster.groups.join({ ...options, ...identity })
    this.#memberships.add(membership)
    return membership
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort(fault('LOG_CLOSED', 'the client was closed'))
    for (const membership of this.#memberships) await membership.leave()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Same batch, same session, same sequence for as long as its outcome is unknown (L3). */
  #freeze(partition: TopicPartition, request: ProduceRequest): FrozenBatch {
    const key = partitionKey(partition)
    const session = this.#sessions.get(key) ?? { session: this.#cluster.newSession(), sequence: 0 }
    this.#sessions.set(key, session)
    return { ...session, records: request.records }
  }

  #send(partition: TopicPartition, batch: FrozenBatch): bigint {
    const failure = this.#cluster.takeFailure(partition)
    const key = partitionKey(partition)
    try {
      if (failure !== undefined) this.#fail(failure, partition, batch)
      const firstKafkaOffset = this.#cluster.appendBatch(partition, batch)
      this.#sessions.set(key, { session: batch.session, sequence: batch.sequence + 1 })
      return firstKafkaOffset
    } catch (error) {
      // The outcome may be unknown: a number must never be used for two different batches.
      this.#sessions.delete(key)
      throw error
    }
  }

  /** Returns only where the frozen retry is to be tried. */
  #fail(failure: ProduceFailure, partition: TopicPartition, batch: FrozenBatch): void {
    const where = partitionKey(partition)
    if (failure === 'notAuthorized') throw fault('NOT_AUTHORIZED', `may not write to ${where}`)
    if (failure === 'timestampRejected') throw fault('TIMESTAMP_REJECTED', `${where} refuses the timestamp`)
    if (failure !== 'requestLost') this.#cluster.appendBatch(partition, batch)
    if (failure === 'acknowledgementLostThenRetried') return
    throw fault('KAFKA_TIMEOUT', `no answer to a produce to ${where}`)
  }

  #checkSize(request: ProduceRequest): void {
    const bytes = request.records.reduce((sum, { key, value }) => sum + key.length + value.length, 0)
    const bytesMax = this.#cluster.topic(request.topic)?.batchBytesMax ?? 0
    if (bytes <= bytesMax) return
    throw fault(
      'RECORD_TOO_LARGE',
      `a batch of ${bytes} bytes to ${request.topic}, which takes ${bytesMax}`,
      {
        details: { bytes, bytesMax },
      },
    )
  }

  /** K3: a topic id seen once is the only one this client accepts. */
  #checkTopic(name: string): void {
    const topic = this.#cluster.topic(name)
    if (topic === undefined) throw fault('TOPIC_UNKNOWN', `the cluster has no topic ${name}`)
    const known = this.#topicIds.get(name) ?? topic.topicId
    this.#topicIds.set(name, known)
    if (known !== topic.topicId) {
      throw fault('TOPIC_RECREATED', `topic ${name} has id ${topic.topicId}, was ${known}`, {
        details: { topic: name, topicId: topic.topicId, knownTopicId: known },
      })
    }
  }

  async #enter(point: Omit<MemoryStepPoint, 'clientId' | 'phase'>, signal?: AbortSignal): Promise<void> {
    await this.#step({ ...point, phase: 'before' })
    const { clock } = this.#cluster
    const deadlineMs = clock.monotonicMs() + this.#unavailableWaitMs
    this.#throwIfStopped(signal)
    while (!this.#cluster.available) {
      const leftMs = deadlineMs - clock.monotonicMs()
      if (leftMs <= 0) throw fault('KAFKA_UNREACHABLE', 'the cluster does not answer')
      await this.#cluster.changeOrDelay(leftMs, this.#combined(signal))
      this.#throwIfStopped(signal)
    }
  }

  async #leave(point: Omit<MemoryStepPoint, 'clientId' | 'phase'>, signal?: AbortSignal): Promise<void> {
    await this.#step({ ...point, phase: 'after' })
    this.#throwIfStopped(signal)
  }

  #step(point: Omit<MemoryStepPoint, 'clientId'>): Promise<void> {
    return this.#cluster.step({ ...point, clientId: this.#clientId })
  }

  #combined(signal?: AbortSignal): AbortSignal {
    return signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal])
  }

  #throwIfStopped(signal?: AbortSignal): void {
    this.#closing.signal.throwIfAborted()
    signal?.throwIfAborted()
  }
}
