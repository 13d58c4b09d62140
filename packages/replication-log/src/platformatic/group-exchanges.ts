import {
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
import { wire } from '../kafka/exchanges.ts'
import type { TopicPartition } from '../replication-log.ts'
import { type PlatformaticExchanges, exchange, only } from './exchange.ts'

const { groupKey, protocolName, protocolType, subscriptionVersion } = wire

/** Kafka's classic group protocol. */
export const groupExchanges: PlatformaticExchanges<
  'findCoordinator' | 'joinGroup' | 'syncGroup' | 'heartbeat' | 'leaveGroup'
> = {
  findCoordinator: exchange(
    findCoordinatorV4.api,
    ({ groupId }) => [groupKey, [groupId]],
    ({ coordinators }) => {
      const { errorCode, host, port } = only(coordinators)
      return { errorCode, broker: { host, port } }
    },
  ),
  joinGroup: exchange(
    joinGroupV9.api,
    ({ groupId, groupInstanceId, memberId, topics, ...limits }) => [
      groupId,
      limits.sessionTimeoutMs,
      limits.rebalanceTimeoutMs,
      memberId,
      groupInstanceId,
      protocolType,
      [{ name: protocolName, metadata: subscription(topics) }],
      null,
    ],
    ({ errorCode, generationId, memberId, ...joined }) => ({
      errorCode,
      generationId,
      memberId,
      deals: joined.leader === memberId && !joined.skipAssignment,
      members: joined.members.map((member) => ({
        memberId: member.memberId,
        topics: decodeConsumerProtocolSubscription(member.metadata).topics,
      })),
    }),
  ),
  syncGroup: exchange(
    syncGroupV5.api,
    ({ groupId, generationId, memberId, groupInstanceId, shares }) => [
      groupId,
      generationId,
      memberId,
      groupInstanceId,
      protocolType,
      protocolName,
      shares.map((share) => ({ memberId: share.memberId, assignment: assignment(share.partitions) })),
    ],
    (synced) => ({
      errorCode: synced.errorCode,
      partitions: synced.errorCode === 0 ? assignedPartitions(synced.assignment) : [],
    }),
  ),
  heartbeat: exchange(
    heartbeatV4.api,
    ({ groupId, generationId, memberId, groupInstanceId }) => [
      groupId,
      generationId,
      memberId,
      groupInstanceId,
    ],
    ({ errorCode }) => ({ errorCode }),
  ),
  leaveGroup: exchange(
    leaveGroupV5.api,
    ({ groupId, memberId, groupInstanceId }) => [groupId, [{ memberId, groupInstanceId, reason: null }]],
    ({ errorCode }) => ({ errorCode }),
  ),
}

function subscription(topics: readonly string[]): Buffer {
  return encodeConsumerProtocolSubscription({
    version: subscriptionVersion,
    topics: [...topics],
    userData: Buffer.alloc(0),
  })
}

function assignment(partitions: readonly TopicPartition[]): Buffer {
  const byTopic = Map.groupBy(partitions, ({ topic }) => topic)
  return encodeConsumerProtocolAssignment({
    version: subscriptionVersion,
    assignedPartitions: [...byTopic].map(([topic, own]) => {
      return { topic, partitions: own.map(({ kafkaPartition }) => kafkaPartition) }
    }),
  })
}

function assignedPartitions(encoded: Buffer): readonly TopicPartition[] {
  return decodeConsumerProtocolAssignment(encoded).assignedPartitions.flatMap(({ topic, partitions }) =>
    partitions.map((kafkaPartition) => ({ topic, kafkaPartition })),
  )
}
