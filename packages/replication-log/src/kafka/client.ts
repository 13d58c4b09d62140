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
import { BrokerConnections } from './broker-connections.ts'
import { ClusterView } from './cluster-view.ts'
import type { Broker } from './exchanges.ts'
import { FetchLanes } from './fetch-lanes.ts'
import { fetchOnce } from './fetcher.ts'
import { KafkaGroupMembership } from './group-membership.ts'
import type { KafkaLibrary } from './library.ts'
import type { ConnectionLimits } from './limits.ts'
import { type OffsetDeps, deleteRecordsBefore, offsetAt, offsetRange } from './offsets.ts'
import { PartitionProducer } from './partition-producer.ts'
import { retrying } from './retry.ts'
import { deleteTopicOnce, describeTopicOnce, ensureTopicsOnce } from './topic-admin.ts'

export interface KafkaClientOptions {
  readonly library: KafkaLibrary
  readonly brokers: readonly Broker[]
  readonly clientId: string
  readonly limits: ConnectionLimits
  readonly groupInstanceId: string | null
}

/** ReplicationLog on Kafka, over either client library. Opens connections when first used, so it can be made while Kafka is away. */
export class KafkaClient implements ReplicationLog {
  readonly #options: KafkaClientOptions
  readonly #limits: ConnectionLimits
  /** Produces and short questions; long polls and groups have their own connections. */
  readonly #control: BrokerConnections
  readonly #produce: BrokerConnections
  readonly #lanes: FetchLanes
  readonly #view: ClusterView
  readonly #outstanding = new OnePerPartition()
  readonly #producers = new Map<string, PartitionProducer>()
  readonly #memberships = new Set<KafkaGroupMembership>()
  readonly #closing = new AbortController()
  #fetches = 0

  constructor(options: KafkaClientOptions) {
    this.#options = options
    this.#limits = options.limits
    this.#control = this.#newConnections()
    this.#produce = this.#newConnections()
    this.#lanes = new FetchLanes(() => this.#newConnections(), options.limits.fetchesMax)
    this.#view = new ClusterView({
      bootstrap: options.brokers,
      connections: this.#control,
      versions: options.library.versions,
      limits: options.limits,
    })
  }

  async produce(
    request: ProduceRequest,
    signal?: AbortSignal,
  ): Promise<{ readonly firstKafkaOffset: bigint }> {
    assert(request.records.length > 0, 'a produce carries at least one record')
    this.#throwIfClosed()
    return this.#outstanding.run(request, async () => {
      const firstKafkaOffset = await this.#producer(request).send(request.records, this.#combined(signal))
      return { firstKafkaOffset }
    })
  }

  async fetch(request: FetchRequest, signal?: AbortSignal): Promise<readonly FetchOutcome[]> {
    assert(request.positions.length > 0, 'a fetch names at least one partition')
    this.#throwIfClosed()
    this.#fetches += 1
    const options = { signal: this.#combined(signal), rotation: this.#fetches }
    return this.#lanes.run((connections) =>
      fetchOnce({ ...this.#deps(), connections, control: this.#control }, request, options),
    )
  }

  offsets(partition: TopicPartition): Promise<{ readonly earliest: bigint; readonly latest: bigint }> {
    return this.#short(() => offsetRange(this.#deps(), partition))
  }

  offsetAtTime(partition: TopicPartition, timestampMs: number): Promise<bigint | null> {
    return this.#short(() => offsetAt(this.#deps(), partition, timestampMs))
  }

  deleteBefore(partition: TopicPartition, kafkaOffset: bigint): Promise<void> {
    return this.#short(() => deleteRecordsBefore(this.#deps(), partition, kafkaOffset))
  }

  ensureTopics(specs: readonly TopicSpec[]): Promise<readonly TopicDescription[]> {
    return this.#short(() => ensureTopicsOnce(this.#deps(), specs))
  }

  describeTopic(topic: string): Promise<TopicDescription | null> {
    return this.#short(() => describeTopicOnce(this.#deps(), topic))
  }

  /** Not part of the port: only tests and dismantling delete topics. */
  deleteTopic(topic: string): Promise<void> {
    return this.#short(() => deleteTopicOnce(this.#deps(), topic))
  }

  async joinGroup(options: {
    readonly groupId: string
    readonly topics: readonly string[]
    readonly onAssignment: AssignmentListener
  }): Promise<GroupMembership> {
    this.#throwIfClosed()
    const membership = new KafkaGroupMembership({
      ...options,
      ...this.#deps(),
      connections: this.#newConnections(),
      groupInstanceId: this.#options.groupInstanceId,
      onEnd: () => this.#memberships.delete(membership),
    })
    this.#memberships.add(membership)
    await membership.start()
    return membership
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    await Promise.all([...this.#memberships].map((membership) => membership.leave()))
    this.#closing.abort(fault('LOG_CLOSED', 'the client was closed'))
    this.#control.close()
    this.#produce.close()
    this.#lanes.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #newConnections(): BrokerConnections {
    return new BrokerConnections(this.#options)
  }

  #deps(): OffsetDeps {
    return { view: this.#view, connections: this.#control, limits: this.#limits }
  }

  #producer({ topic, kafkaPartition }: TopicPartition): PartitionProducer {
    const key = partitionKey({ topic, kafkaPartition })
    const known = this.#producers.get(key)
    if (known !== undefined) return known
    const partition = { topic, kafkaPartition }
    const producer = new PartitionProducer({ ...this.#deps(), partition, connections: this.#produce })
    this.#producers.set(key, producer)
    return producer
  }

  #short<T>(operation: () => Promise<T>): Promise<T> {
    this.#throwIfClosed()
    const { signal } = this.#closing
    return retrying(operation, { limits: this.#limits, deadlineMs: this.#limits.controlDeadlineMs, signal })
  }

  #combined(signal?: AbortSignal): AbortSignal {
    return signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal])
  }

  #throwIfClosed(): void {
    this.#closing.signal.throwIfAborted()
  }
}
