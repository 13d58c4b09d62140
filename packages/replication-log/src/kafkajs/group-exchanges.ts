import assignerProtocol from 'kafkajs/src/consumer/assignerProtocol.js'
import library from 'kafkajs/src/protocol/requests/index.js'
import { wire } from '../kafka/exchanges.ts'
import type { TopicPartition } from '../replication-log.ts'
import { type KafkajsExchanges, libraryExchange } from './exchange.ts'

const { requests } = library
const { MemberAssignment, MemberMetadata } = assignerProtocol
const { groupKey, protocolName, protocolType, subscriptionVersion } = wire

/** Kafka's classic group protocol, all of it in the library's words. */
export const groupExchanges: KafkajsExchanges<
  'findCoordinator' | 'joinGroup' | 'syncGroup' | 'heartbeat' | 'leaveGroup'
> = {
  findCoordinator: libraryExchange(
    { name: { api: 'GroupCoordinator', version: 2 }, by: requests.GroupCoordinator },
    ({ groupId }) => ({ groupId, coordinatorType: groupKey }),
    ({ errorCode, coordinator: { host, port } }) => ({ errorCode, broker: { host, port } }),
  ),
  joinGroup: libraryExchange(
    { name: { api: 'JoinGroup', version: 5 }, by: requests.JoinGroup },
    ({ topics, sessionTimeoutMs, rebalanceTimeoutMs, ...member }) => ({
      ...member,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: rebalanceTimeoutMs,
      protocolType,
      groupProtocols: [
        { name: protocolName, metadata: MemberMetadata.encode({ version: subscriptionVersion, topics }) },
      ],
    }),
    ({ errorCode, generationId, memberId, leaderId, members }) => ({
      errorCode,
      generationId,
      memberId,
      deals: errorCode === 0 && leaderId === memberId,
      members: members.map((member) => ({
        memberId: member.memberId,
        topics: MemberMetadata.decode(member.memberMetadata).topics,
      })),
    }),
  ),
  syncGroup: libraryExchange(
    { name: { api: 'SyncGroup', version: 3 }, by: requests.SyncGroup },
    ({ shares, ...member }) => ({
      ...member,
      groupAssignment: shares.map(({ memberId, partitions }) => {
        return { memberId, memberAssignment: encodeAssignment(partitions) }
      }),
    }),
    ({ errorCode, memberAssignment }) => ({
      errorCode,
      partitions: errorCode === 0 ? decodeAssignment(memberAssignment) : [],
    }),
  ),
  heartbeat: libraryExchange(
    { name: { api: 'Heartbeat', version: 3 }, by: requests.Heartbeat },
    ({ generationId, ...member }) => ({ ...member, groupGenerationId: generationId }),
    ({ errorCode }) => ({ errorCode }),
  ),
  leaveGroup: libraryExchange(
    { name: { api: 'LeaveGroup', version: 3 }, by: requests.LeaveGroup },
    (member) => member,
    ({ errorCode }) => ({ errorCode }),
  ),
}

function encodeAssignment(partitions: readonly TopicPartition[]): Buffer {
  const byTopic = Map.groupBy(partitions, ({ topic }) => topic)
  const assignment = Object.fromEntries(
    [...byTopic].map(([topic, own]) => [topic, own.map(({ kafkaPartition }) => kafkaPartition)]),
  )
  return MemberAssignment.encode({ version: subscriptionVersion, assignment })
}

function decodeAssignment(encoded: Buffer): readonly TopicPartition[] {
  const assignment = MemberAssignment.decode(encoded)?.assignment ?? {}
  return Object.entries(assignment).flatMap(([topic, partitions]) =>
    partitions.map((kafkaPartition) => ({ topic, kafkaPartition })),
  )
}
