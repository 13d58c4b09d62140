import type { TopicPartition, TopicSpec } from '../replication-log.ts'

/*
 * Everything this package asks a broker, in words of no library. Each client library answers the whole
 * table with its own encoders and decoders; what is made of the answers is written once, beside this file.
 * Error codes are Kafka's numbers, for the caller to read: one bad part of an answer hides no other (L4).
 */

/** Where a broker listens. */
export interface Broker {
  readonly host: string
  readonly port: number
}

/** One question and what is read of its answer. */
export interface Exchange<Request, Answer> {
  readonly request: Request
  readonly answer: Answer
}

export interface ApiVersion {
  readonly key: number
  readonly minVersion: number
  readonly maxVersion: number
}

export interface MetadataAnswer {
  readonly brokers: readonly (Broker & { readonly nodeId: number })[]
  readonly topics: readonly {
    readonly errorCode: number
    readonly topic: string | null
    /** Hexadecimal with hyphens, whatever the library: the applier's checkpoint keeps it. */
    readonly topicId: string
    readonly partitions: readonly {
      readonly kafkaPartition: number
      readonly leaderId: number
      readonly leaderEpoch: number
    }[]
  }[]
}

export interface ProduceFrozenRequest extends TopicPartition {
  /** A whole record batch, sent as it is. */
  readonly batch: Buffer
  readonly timeoutMs: number
}

export interface FetchPartitionRequest {
  readonly topicId: string
  readonly kafkaPartition: number
  readonly leaderEpoch: number
  readonly kafkaOffset: bigint
  readonly bytesMax: number
}

export interface FetchBatchesRequest {
  readonly waitMs: number
  readonly bytesMax: number
  readonly partitions: readonly FetchPartitionRequest[]
}

/** One partition of an answer, its batches still as the broker stored them. */
export interface FetchedPartition {
  readonly topicId: string
  readonly kafkaPartition: number
  readonly errorCode: number
  readonly highWatermark: bigint
  readonly batches: Buffer
}

export interface FetchAnswer {
  readonly errorCode: number
  readonly partitions: readonly FetchedPartition[]
}

export interface GroupMemberRequest {
  readonly groupId: string
  readonly groupInstanceId: string | null
  readonly memberId: string
}

export interface JoinGroupRequest extends GroupMemberRequest {
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly topics: readonly string[]
}

export interface JoinGroupAnswer {
  readonly errorCode: number
  readonly generationId: number
  readonly memberId: string
  /** This member deals the partitions to all. */
  readonly deals: boolean
  readonly members: readonly { readonly memberId: string; readonly topics: readonly string[] }[]
}

export interface SyncGroupRequest extends GroupMemberRequest {
  readonly generationId: number
  readonly shares: readonly { readonly memberId: string; readonly partitions: readonly TopicPartition[] }[]
}

interface Result {
  readonly errorCode: number
}

/** The table. */
export interface Exchanges {
  readonly apiVersions: Exchange<null, readonly ApiVersion[]>
  readonly metadata: Exchange<{ readonly topics: readonly string[] }, MetadataAnswer>
  readonly produce: Exchange<
    ProduceFrozenRequest,
    Result & { readonly errorMessage: string | null; readonly firstKafkaOffset: bigint }
  >
  readonly fetch: Exchange<FetchBatchesRequest, FetchAnswer>
  readonly listOffsets: Exchange<
    TopicPartition & { readonly leaderEpoch: number; readonly timestamp: bigint },
    Result & { readonly kafkaOffset: bigint }
  >
  readonly beginSession: Exchange<
    null,
    Result & { readonly producerId: bigint; readonly producerEpoch: number }
  >
  readonly deleteRecords: Exchange<
    TopicPartition & { readonly beforeKafkaOffset: bigint; readonly timeoutMs: number },
    Result
  >
  readonly createTopics: Exchange<
    { readonly specs: readonly TopicSpec[]; readonly timeoutMs: number },
    readonly (Result & { readonly topic: string; readonly errorMessage: string | null })[]
  >
  readonly describeTopics: Exchange<
    { readonly topics: readonly string[] },
    readonly (Result & { readonly topic: string; readonly config: Readonly<Record<string, string>> })[]
  >
  readonly deleteTopic: Exchange<{ readonly topic: string; readonly timeoutMs: number }, Result>
  readonly findCoordinator: Exchange<{ readonly groupId: string }, Result & { readonly broker: Broker }>
  readonly joinGroup: Exchange<JoinGroupRequest, JoinGroupAnswer>
  readonly syncGroup: Exchange<SyncGroupRequest, Result & { readonly partitions: readonly TopicPartition[] }>
  readonly heartbeat: Exchange<GroupMemberRequest & { readonly generationId: number }, Result>
  readonly leaveGroup: Exchange<GroupMemberRequest, Result>
}

export type ExchangeName = keyof Exchanges

/** A name of the table with its request. */
export interface Question<Name extends ExchangeName> {
  readonly ask: Name
  readonly of: Exchanges[Name]['request']
}

/*
 * Numbers every library sends alike.
 */
export const wire = {
  allReplicas: -1,
  consumer: -1,
  readUncommitted: 0,
  groupKey: 0,
  topicResource: 2,
  brokersDefaultReplication: -1,
  fetchBytesMin: 1,
  /** A fetch outside any broker-side session: no state that a reconnect could leave stale. */
  fetchSessionId: 0,
  fetchSessionEpoch: -1,
  /** K6: not known; the broker then does not compare epochs. */
  unknownEpoch: -1,
  protocolType: 'consumer',
  /** Ours alone: a foreign consumer in our group would be refused instead of taking partitions. */
  protocolName: 'blockferry-1',
  subscriptionVersion: 1,
} as const
