import { assignPartitions } from '../group-assignment.ts'
import type { TopicPartition } from '../replication-log.ts'
import type { Broker, JoinGroupAnswer, SyncGroupRequest } from './exchanges.ts'
import { kafkaErrorName } from './kafka-error-names.ts'
import { responseFault } from './kafka-error.ts'
import type { OffsetDeps } from './offsets.ts'

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
    const found = await this.#deps.view.withAnyBroker((broker) =>
      this.#deps.connections.call(
        broker,
        { ask: 'findCoordinator', of: { groupId } },
        { timeoutMs: this.#deps.limits.requestTimeoutMs, signal },
      ),
    )
    if (found.errorCode !== 0) throw responseFault(found.errorCode, `group ${groupId}`)
    return found.broker
  }

  /** Joins and takes this member's share; whoever the broker makes leader deals for all. */
  async join(
    coordinator: Broker,
    memberId: string,
    signal: AbortSignal,
  ): Promise<{ readonly place: GroupPlace; readonly partitions: readonly TopicPartition[] }> {
    const joined = await this.#joinGroup(coordinator, memberId, signal)
    const place = { coordinator, memberId: joined.memberId, generationId: joined.generationId }
    const shares = joined.deals ? await this.#deal(joined) : []
    return { place, partitions: await this.#sync(place, shares, signal) }
  }

  async #joinGroup(coordinator: Broker, memberId: string, signal: AbortSignal): Promise<JoinGroupAnswer> {
    const { groupId, groupInstanceId, topics } = this.#identity
    const { groupSessionTimeoutMs, groupRebalanceTimeoutMs, requestTimeoutMs } = this.#deps.limits
    const answer = await this.#deps.connections.call(
      coordinator,
      {
        ask: 'joinGroup',
        of: {
          groupId,
          groupInstanceId,
          memberId,
          sessionTimeoutMs: groupSessionTimeoutMs,
          rebalanceTimeoutMs: groupRebalanceTimeoutMs,
          topics,
        },
      },
      // The broker answers when all members have joined or timed out.
      { timeoutMs: groupRebalanceTimeoutMs + groupSessionTimeoutMs + requestTimeoutMs, signal },
    )
    const memberIdGiven = kafkaErrorName(answer.errorCode) === 'MEMBER_ID_REQUIRED'
    if (memberIdGiven && memberId === '') return this.#joinGroup(coordinator, answer.memberId, signal)
    if (answer.errorCode !== 0) throw responseFault(answer.errorCode, `joining group ${groupId}`)
    return answer
  }

  async #deal({ members }: JoinGroupAnswer): Promise<SyncGroupRequest['shares']> {
    const counts = new Map<string, number>()
    for (const topic of new Set(members.flatMap(({ topics }) => topics))) {
      counts.set(topic, (await this.#deps.view.topic(topic)).partitions.size)
    }
    return [...assignPartitions(members, counts)].map(([memberId, partitions]) => ({ memberId, partitions }))
  }

  async #sync(
    place: GroupPlace,
    shares: SyncGroupRequest['shares'],
    signal: AbortSignal,
  ): Promise<readonly TopicPartition[]> {
    const { groupId } = this.#identity
    const { groupRebalanceTimeoutMs, requestTimeoutMs } = this.#deps.limits
    const answer = await this.#deps.connections.call(
      place.coordinator,
      { ask: 'syncGroup', of: { ...this.#member(place), shares } },
      { timeoutMs: groupRebalanceTimeoutMs + requestTimeoutMs, signal },
    )
    if (answer.errorCode !== 0) throw responseFault(answer.errorCode, `the share of group ${groupId}`)
    return answer.partitions
  }

  /** Throws when this member has to join again. */
  async heartbeat(place: GroupPlace, signal: AbortSignal): Promise<void> {
    const { errorCode } = await this.#deps.connections.call(
      place.coordinator,
      { ask: 'heartbeat', of: this.#member(place) },
      { timeoutMs: this.#deps.limits.groupSessionTimeoutMs, signal },
    )
    if (errorCode !== 0) throw responseFault(errorCode, `group ${this.#identity.groupId}`)
  }

  async leave(place: GroupPlace): Promise<void> {
    await this.#deps.connections.call(
      place.coordinator,
      { ask: 'leaveGroup', of: this.#member(place) },
      { timeoutMs: this.#deps.limits.groupHeartbeatMs },
    )
  }

  #member({ memberId, generationId }: GroupPlace) {
    const { groupId, groupInstanceId } = this.#identity
    return { groupId, groupInstanceId, memberId, generationId }
  }
}
