import type { TopicPartition } from '../replication-log.ts'
import type { BrokerConnections } from './broker-connections.ts'
import type { ClusterView } from './cluster-view.ts'
import { isTransient, isUnknownTopic, responseFault } from './kafka-error.ts'
import type { ConnectionLimits } from './limits.ts'

export interface OffsetDeps {
  readonly view: ClusterView
  readonly connections: BrokerConnections
  readonly limits: ConnectionLimits
}

const latestTimestamp = -1n
const earliestTimestamp = -2n
const noOffset = -1n

/** First kept offset and the offset after the last record. */
export async function offsetRange(
  deps: OffsetDeps,
  partition: TopicPartition,
): Promise<{ readonly earliest: bigint; readonly latest: bigint }> {
  const [earliest, latest] = await Promise.all([
    listOffset(deps, partition, earliestTimestamp),
    listOffset(deps, partition, latestTimestamp),
  ])
  return { earliest, latest }
}

/** First offset at or after a time, null when there is none. */
export async function offsetAt(
  deps: OffsetDeps,
  partition: TopicPartition,
  timestampMs: number,
): Promise<bigint | null> {
  const kafkaOffset = await listOffset(deps, partition, BigInt(Math.floor(timestampMs)))
  return kafkaOffset === noOffset ? null : kafkaOffset
}

async function listOffset(deps: OffsetDeps, partition: TopicPartition, timestamp: bigint): Promise<bigint> {
  const { topic, kafkaPartition } = partition
  return withLeader(deps, partition, async ({ broker, leaderEpoch }) => {
    const answer = await deps.connections.call(
      broker,
      { ask: 'listOffsets', of: { topic, kafkaPartition, leaderEpoch, timestamp } },
      { timeoutMs: deps.limits.requestTimeoutMs },
    )
    if (answer.errorCode !== 0) throw responseFault(answer.errorCode, `offsets of ${topic}/${kafkaPartition}`)
    return answer.kafkaOffset
  })
}

/** DeleteRecords: everything before the offset is gone for readers at once. */
export async function deleteRecordsBefore(
  deps: OffsetDeps,
  partition: TopicPartition,
  kafkaOffset: bigint,
): Promise<void> {
  const { topic, kafkaPartition } = partition
  await withLeader(deps, partition, async ({ broker }) => {
    const timeoutMs = deps.limits.requestTimeoutMs
    const answer = await deps.connections.call(
      broker,
      { ask: 'deleteRecords', of: { topic, kafkaPartition, beforeKafkaOffset: kafkaOffset, timeoutMs } },
      { timeoutMs },
    )
    if (answer.errorCode !== 0) {
      throw responseFault(answer.errorCode, `deleting ${topic}/${kafkaPartition} before ${kafkaOffset}`)
    }
  })
}

async function withLeader<T>(
  deps: OffsetDeps,
  partition: TopicPartition,
  ask: (leader: Awaited<ReturnType<ClusterView['leader']>>) => Promise<T>,
): Promise<T> {
  try {
    return await ask(await deps.view.leader(partition))
  } catch (error) {
    if (isTransient(error) || isUnknownTopic(error)) deps.view.forget(partition.topic)
    throw error
  }
}
