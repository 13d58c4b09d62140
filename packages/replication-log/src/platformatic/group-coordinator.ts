import {
  type Broker,
  decodeConsumerProtocolAssignment,
  decodeConsumerProtocolSubscription,
  encodeConsumerProtocolAssignment,
  encodeConsumerProtocolSubscription,
  findCoordinatorV4,
  heartbeatV4,
  joinGroupV9,
  leaveGroupV5,
  syncGroupV5,
} from '@platformatic/kafka'
import { assignPartitions } from '../group-assignment.ts'
import type { TopicPartition } from '../replication-log.ts'
import { kafkaErrorName, responseFault } from './kafka-error.ts'
import type { OffsetDeps } from './offsets.ts'

const groupKey = 0
const protocolType = 'consumer'
/** Ours alone: a foreign consumer in our group would be refused instead of taking partitions. */
const protocolName = 'blockferry-1'
const subscriptionVersion = 1

/** A member's place in one generation of its group. */
export interface GroupPlace {
  readonly coordinator: Broker
  readonly memberId: string
  readonly generationId: number
}

export interface GroupIdentity {
  readonly groupId: string
  readonly groupInstanceId: string | null
  readonly topics: readonly string[]
}

/** The requests of Kafka's classic group protocol, for assignment alone: no offsets are ever committed (K4). */
export class GroupCoordinator {
  readonly #deps: OffsetDeps
  readonly #identity: GroupIdentity

  constructor(deps: OffsetDeps, identity: GroupIdentity) {
    this.#deps = deps
    this.#identity = identity
  }

  async find(signal: AbortSignal): Promise<Broker> {
    const { groupId } = this.#identity
    const response = await this.#deps.view.withAnyBroker((broker) =>
      this.#deps.connections.call(
        broker,
        { api: findCoordinatorV4.api, args: [groupKey, [groupId]] },
        { timeoutMs: this.#deps.limits.requestTimeoutMs, signal },
      ),
    )
    const found = response.coordinators[0]
    if (found === undefined) throw responseFault(coordinatorNotAvailable, `group ${groupId}`)
    if (found.errorCode !== 0) throw responseFault(found.errorCode, `group ${groupId}`)
    return { host: found.host, port: found.port }
  }

  /** Joins and takes this member's share; whoever the broker makes leader deals for all. */
  async join(
    coordinator: Broker,
    memberId: string,
    signal: AbortSignal,
  ): Promise<{ readonly place: GroupPlace; readonly partitions: readonly TopicPartition[] }> {
    const joined = await this.#joinGroup(coordinator, memberId, signal)
    const place = { coordinator, memberId: joined.memberId, generationId: joined.generationId }
    const dealt = joined.leader === joined.memberId && !joined.skipAssignment ? await this.#deal(joined) : []
    return { place, partitions: await this.#sync(place, dealt, signal) }
  }

  async #joinGroup(
    coordinator: Broker,
    memberId: string,
    signal: AbortSignal,
  ): Promise<joinGroupV9.JoinGroupResponse> {
    const { groupId, groupInstanceId, topics } = this.#identity
    const { groupSessionTimeoutMs, groupRebalanceTimeoutMs, requestTimeoutMs } = this.#deps.limits
    const metadata = encodeConsumerProtocolSubscription({
      version: subscriptionVersion,
      topics: [...topics],
      userData: Buffer.alloc(0),
    })
    const response = await this.#deps.connections.call(
      coordinator,
      {
        api: joinGroupV9.api,
        args: [
          groupId,
          groupSessionTimeoutMs,
          groupRebalanceTimeoutMs,
          memberId,
          groupInstanceId,
          protocolType,
          [{ name: protocolName, metadata }],
          null,
        ],
      },
      // The broker answers when all members have joined or timed out.
      { timeoutMs: groupRebalanceTimeoutMs + groupSessionTimeoutMs + requestTimeoutMs, signal },
    )
    const memberIdGiven = kafkaErrorName(response.errorCode) === 'MEMBER_ID_REQUIRED'
    if (memberIdGiven && memberId === '') return this.#joinGroup(coordinator, response.memberId, signal)
    if (response.errorCode !== 0) throw responseFault(response.errorCode, `joining group ${groupId}`)
    return response
  }

  async #deal(
    joined: joinGroupV9.JoinGroupResponse,
  ): Promise<readonly syncGroupV5.SyncGroupRequestAssignment[]> {
    const members = joined.members.map(({ memberId, metadata }) => {
      return { memberId, topics: decodeConsumerProtocolSubscription(metadata).topics }
    })
    const counts = new Map<string, number>()
    for (const topic of new Set(members.flatMap(({ topics }) => topics))) {
      counts.set(topic, (await this.#deps.view.topic(topic)).partitions.size)
    }
    return [...assignPartitions(members, counts)].map(([memberId, partitions]) => {
      const byTopic = Map.groupBy(partitions, ({ topic }) => topic)
      const assignedPartitions = [...byTopic].map(([topic, own]) => {
        return { topic, partitions: own.map(({ kafkaPartition }) => kafkaPartition) }
      })
      const assignment = encodeConsumerProtocolAssignment({
        version: subscriptionVersion,
        assignedPartitions,
      })
      return { memberId, assignment }
    })
  }

  async #sync(
    place: GroupPlace,
    dealt: readonly syncGroupV5.SyncGroupRequestAssignment[],
    signal: AbortSignal,
  ): Promise<readonly TopicPartition[]> {
    const { groupId, groupInstanceId } = this.#identity
    const { groupRebalanceTimeoutMs, requestTimeoutMs } = this.#deps.limits
    const { generationId, memberId } = place
    const response = await this.#deps.connections.call(
      place.coordinator,
      {
        api: syncGroupV5.api,
        args: [groupId, generationId, memberId, groupInstanceId, protocolType, protocolName, [...dealt]],
      },
      { timeoutMs: groupRebalanceTimeoutMs + requestTimeoutMs, signal },
    )
    if (response.errorCode !== 0) throw responseFault(response.errorCode, `the share of group ${groupId}`)
    return decodeConsumerProtocolAssignment(response.assignment).assignedPartitions.flatMap(
      ({ topic, partitions }) => partitions.map((kafkaPartition) => ({ topic, kafkaPartition })),
    )
  }

  /** Throws when this member has to join again. */
  async heartbeat(place: GroupPlace, signal: AbortSignal): Promise<void> {
    const { groupId, groupInstanceId } = this.#identity
    const response = await this.#deps.connections.call(
      place.coordinator,
      { api: heartbeatV4.api, args: [groupId, place.generationId, place.memberId, groupInstanceId] },
      { timeoutMs: this.#deps.limits.groupSessionTimeoutMs, signal },
    )
    if (response.errorCode !== 0) throw responseFault(response.errorCode, `group ${groupId}`)
  }

  async leave(place: GroupPlace): Promise<void> {
    const { groupId, groupInstanceId } = this.#identity
    const member = { memberId: place.memberId, groupInstanceId, reason: null }
    await this.#deps.connections.call(
      place.coordinator,
      { api: leaveGroupV5.api, args: [groupId, [member]] },
      { timeoutMs: this.#deps.limits.groupHeartbeatMs },
    )
  }
}

/** Kafka's COORDINATOR_NOT_AVAILABLE. */
const coordinatorNotAvailable = 15
