import { codeOf } from '@blockferry/runtime'
import { fault } from '../faults.ts'
import type { TopicPartition } from '../replication-log.ts'
import { type BrokerConnections, brokerName } from './broker-connections.ts'
import type { Broker, MetadataAnswer } from './exchanges.ts'
import { responseFault } from './kafka-error.ts'
import type { KafkaLibrary } from './library.ts'
import type { ConnectionLimits } from './limits.ts'
import { nowMs } from './retry.ts'

export interface PartitionLeader {
  readonly broker: Broker
  readonly topicId: string
  readonly leaderEpoch: number
}

export interface TopicView {
  readonly topicId: string
  readonly partitions: ReadonlyMap<number, { readonly leaderId: number; readonly leaderEpoch: number }>
  readonly seenAtMs: number
}

/**
 * What the cluster says of itself: brokers, leaders, topic ids. Kept until an answer proves it stale or
 * it is too old. K3: the first id seen of a topic is the only one this client accepts.
 */
export class ClusterView {
  readonly #bootstrap: readonly Broker[]
  readonly #connections: BrokerConnections
  readonly #versions: KafkaLibrary['versions']
  readonly #limits: ConnectionLimits
  #brokers = new Map<number, Broker>()
  readonly #topics = new Map<string, TopicView>()
  readonly #acceptedIds = new Map<string, string>()
  readonly #versionsChecked = new Set<string>()
  readonly #refreshing = new Map<string, Promise<void>>()
  #lastGood: Broker | null = null

  constructor(options: {
    readonly bootstrap: readonly Broker[]
    readonly connections: BrokerConnections
    readonly versions: KafkaLibrary['versions']
    readonly limits: ConnectionLimits
  }) {
    this.#bootstrap = options.bootstrap
    this.#connections = options.connections
    this.#versions = options.versions
    this.#limits = options.limits
  }

  /** The broker to ask for a partition. Throws TOPIC_UNKNOWN, TOPIC_RECREATED or a transient fault. */
  async leader({ topic, kafkaPartition }: TopicPartition): Promise<PartitionLeader> {
    const view = await this.topic(topic)
    this.accept(topic, view.topicId)
    const partition = view.partitions.get(kafkaPartition)
    if (partition === undefined) {
      throw fault('TOPIC_UNKNOWN', `topic ${topic} has no partition ${kafkaPartition}`)
    }
    const broker = this.#brokers.get(partition.leaderId)
    if (broker === undefined) {
      this.forget(topic)
      throw responseFault(leaderNotAvailable, `partition ${kafkaPartition} of ${topic}`)
    }
    return { broker, topicId: view.topicId, leaderEpoch: partition.leaderEpoch }
  }

  /** The topic as the cluster last described it; asked anew when unknown or old. */
  async topic(topic: string): Promise<TopicView> {
    const cached = this.#topics.get(topic)
    if (cached !== undefined && nowMs() - cached.seenAtMs < this.#limits.metadataAgeMsMax) return cached
    await this.refresh([topic])
    const view = this.#topics.get(topic)
    if (view === undefined) throw fault('TOPIC_UNKNOWN', `the cluster has no topic ${topic}`)
    return view
  }

  cached(topic: string): TopicView | undefined {
    return this.#topics.get(topic)
  }

  /** Ask again before the next use: an answer showed that this is stale. */
  forget(topic: string): void {
    this.#topics.delete(topic)
  }

  accept(topic: string, topicId: string): void {
    const known = this.#acceptedIds.get(topic) ?? topicId
    this.#acceptedIds.set(topic, known)
    if (known !== topicId) {
      throw fault('TOPIC_RECREATED', `topic ${topic} has id ${topicId}, was ${known}`, {
        details: { topic, topicId, knownTopicId: known },
      })
    }
  }

  /** Asks for these topics; equal questions at the same time share one answer. */
  async refresh(topics: readonly string[]): Promise<void> {
    const key = topics.join(',')
    const running = this.#refreshing.get(key)
    if (running !== undefined) return running
    const refreshing = this.#ask(topics).finally(() => this.#refreshing.delete(key))
    this.#refreshing.set(key, refreshing)
    return refreshing
  }

  async #ask(topics: readonly string[]): Promise<void> {
    const response = await this.withAnyBroker((broker) =>
      this.#connections.call(
        broker,
        { ask: 'metadata', of: { topics } },
        { timeoutMs: this.#limits.requestTimeoutMs },
      ),
    )
    this.#adopt(response)
  }

  #adopt(response: MetadataAnswer): void {
    if (response.brokers.length > 0) {
      this.#brokers = new Map(response.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
    }
    for (const topic of response.topics) {
      if (topic.topic === null) continue
      if (topic.errorCode !== 0) {
        this.#topics.delete(topic.topic)
        const problem = responseFault(topic.errorCode, `topic ${topic.topic}`)
        if (problem.code !== 'TOPIC_UNKNOWN') throw problem
        continue
      }
      const partitions = new Map(
        topic.partitions.map(({ kafkaPartition, leaderId, leaderEpoch }) => [
          kafkaPartition,
          { leaderId, leaderEpoch },
        ]),
      )
      this.#topics.set(topic.topic, { topicId: topic.topicId, partitions, seenAtMs: nowMs() })
    }
  }

  /** Tries brokers one after another, first the one that answered last, until one answers. */
  async withAnyBroker<T>(ask: (broker: Broker) => Promise<T>): Promise<T> {
    const failures: unknown[] = []
    for (const broker of this.#candidates()) {
      try {
        await this.#checkVersions(broker)
        const answer = await ask(broker)
        this.#lastGood = broker
        return answer
      } catch (error) {
        if (codeOf(error) !== 'KAFKA_UNREACHABLE' && codeOf(error) !== 'KAFKA_TIMEOUT') throw error
        failures.push(error)
      }
    }
    if (failures.length === 1) throw failures[0]
    const tried = this.#candidates().map(brokerName).join(', ')
    throw fault('KAFKA_UNREACHABLE', `none of ${tried} answers`, {
      cause: new AggregateError(failures),
      details: { transient: true },
    })
  }

  #candidates(): readonly Broker[] {
    const all = [
      ...(this.#lastGood === null ? [] : [this.#lastGood]),
      ...this.#bootstrap,
      ...this.#brokers.values(),
    ]
    return [...new Map(all.map((broker) => [brokerName(broker), broker])).values()]
  }

  /** Once per broker: a version it does not speak would otherwise show as a connection that just ends. */
  async #checkVersions(broker: Broker): Promise<void> {
    if (this.#versionsChecked.has(brokerName(broker))) return
    const spoken = await this.#connections.call(
      broker,
      { ask: 'apiVersions', of: null },
      { timeoutMs: this.#limits.requestTimeoutMs },
    )
    const missing = this.#versions.filter(({ key, version }) => {
      const offered = spoken.find((api) => api.key === key)
      return offered === undefined || version < offered.minVersion || version > offered.maxVersion
    })
    if (missing.length > 0) {
      const names = missing.map(({ name, version }) => `${name} v${version}`).join(', ')
      throw fault('KAFKA_UNSUPPORTED', `${brokerName(broker)} does not speak ${names}`)
    }
    this.#versionsChecked.add(brokerName(broker))
  }
}

/** Kafka's LEADER_NOT_AVAILABLE: an election is under way. */
const leaderNotAvailable = 5
