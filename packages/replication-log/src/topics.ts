import { GiB, MiB, assert } from '@blockferry/runtime'
import type { TopicSpec } from './replication-log.ts'

/*
 * The topic table (design §4). Every topic, the remote ones too, is created by us with explicit
 * configuration before anything flows, and compared at start (K3): a broker's defaults never decide
 * how long a write is kept or how large a set may be.
 */

/** Topics a site writes to on its own cluster. */
export const topicNames = {
  writes: 'writes',
  updates: 'updates',
  disks: 'disks',
  positions: 'positions',
  requests: 'requests',
} as const
export type TopicName = keyof typeof topicNames

/** Topics MirrorMaker carries to the other site. `writes` is raw history and stays (§4). */
export const mirroredTopics = ['updates', 'disks', 'positions', 'requests'] as const
export type MirroredTopic = (typeof mirroredTopics)[number]

/** Name of another site's topic on this site's cluster (K1: DefaultReplicationPolicy). */
export function remoteTopic(site: string, topic: MirroredTopic): string {
  return `${site}.${topicNames[topic]}`
}

const hourMs = 3_600_000

/** Kafka's limit of one batch; an update set's payload is at most 4 MiB, its header small (K7). */
export const messageBytesMax = 8 * MiB

/** Retention and size of a site's topics. Bytes are per partition, as Kafka counts them. */
export interface TopicLimits {
  /** Partitions of `writes` and `updates`, here and mirrored (K2: chosen once; adding moves nothing). */
  readonly partitions: number
  readonly minInsyncReplicas: number
  readonly writesRetentionMs: number
  readonly writesRetentionBytes: number
  /** The longest outage of the link or the other site that costs no resync. */
  readonly updatesRetentionMs: number
  readonly updatesRetentionBytes: number
  /** Hard bound of the kept stream; appliers advance its low end long before (§4). */
  readonly keptStreamBytes: number
  readonly requestsRetentionMs: number
  readonly streamSegmentBytes: number
  readonly stateSegmentBytes: number
}

export const defaultTopicLimits: TopicLimits = {
  partitions: 4,
  minInsyncReplicas: 1,
  writesRetentionMs: 24 * hourMs,
  writesRetentionBytes: 4 * GiB,
  updatesRetentionMs: 7 * 24 * hourMs,
  updatesRetentionBytes: 16 * GiB,
  keptStreamBytes: 32 * GiB,
  requestsRetentionMs: 7 * 24 * hourMs,
  streamSegmentBytes: 256 * MiB,
  stateSegmentBytes: 16 * MiB,
}

export interface SiteTopicOptions extends Partial<TopicLimits> {
  /** The site whose cluster this is. */
  readonly site: string
  readonly peerSite: string
}

/**
 * All topics a site can need on its own cluster, whichever direction replication runs: its own five and
 * the peer's four mirrored ones. Same on both sites but for the names, so a takeover creates nothing.
 */
export function siteTopicSpecs(options: SiteTopicOptions): readonly TopicSpec[] {
  const { site, peerSite, ...given } = options
  assert(site !== peerSite, 'a site is not its own peer')
  const limits = { ...defaultTopicLimits, ...given }
  const own = (topic: TopicName): string => topicNames[topic]
  const remote = (topic: MirroredTopic): string => remoteTopic(peerSite, topic)
  return [
    writesSpec(own('writes'), limits),
    updatesSpec(own('updates'), limits),
    keptStreamSpec(remote('updates'), limits),
    ...[own('disks'), own('positions'), remote('disks'), remote('positions')].map((topic) =>
      compactedSpec(topic, limits),
    ),
    ...[own('requests'), remote('requests')].map((topic) => requestsSpec(topic, limits)),
  ]
}

function common(limits: TopicLimits): Record<string, string> {
  return {
    // K3: with CreateTime a skewed edge clock deletes a topic at the next retention check.
    'message.timestamp.type': 'LogAppendTime',
    'max.message.bytes': String(messageBytesMax),
    'min.insync.replicas': String(limits.minInsyncReplicas),
    'compression.type': 'producer',
  }
}

function streamSpec(topic: string, limits: TopicLimits, retention: { ms: number; bytes: number }): TopicSpec {
  return {
    topic,
    partitions: limits.partitions,
    config: {
      ...common(limits),
      'cleanup.policy': 'delete',
      'retention.ms': String(retention.ms),
      'retention.bytes': String(retention.bytes),
      'segment.bytes': String(limits.streamSegmentBytes),
    },
  }
}

function writesSpec(topic: string, limits: TopicLimits): TopicSpec {
  return streamSpec(topic, limits, { ms: limits.writesRetentionMs, bytes: limits.writesRetentionBytes })
}

function updatesSpec(topic: string, limits: TopicLimits): TopicSpec {
  return streamSpec(topic, limits, { ms: limits.updatesRetentionMs, bytes: limits.updatesRetentionBytes })
}

/** No time limit: what drills replay goes by the appliers' floors, and by bytes as the last resort. */
function keptStreamSpec(topic: string, limits: TopicLimits): TopicSpec {
  return streamSpec(topic, limits, { ms: -1, bytes: limits.keptStreamBytes })
}

function compactedSpec(topic: string, limits: TopicLimits): TopicSpec {
  return {
    topic,
    partitions: 1,
    config: {
      ...common(limits),
      'cleanup.policy': 'compact',
      'retention.ms': '-1',
      'retention.bytes': '-1',
      'segment.bytes': String(limits.stateSegmentBytes),
    },
  }
}

function requestsSpec(topic: string, limits: TopicLimits): TopicSpec {
  return {
    topic,
    partitions: 1,
    config: {
      ...common(limits),
      'cleanup.policy': 'compact,delete',
      'retention.ms': String(limits.requestsRetentionMs),
      'retention.bytes': '-1',
      'segment.bytes': String(limits.stateSegmentBytes),
    },
  }
}
