import { windowAgeMsDefault } from '@blockferry/disk-stream'
import { topicNames } from '@blockferry/replication-log'
import { MiB } from '@blockferry/runtime'
import type { AggregatorOptions } from './ports.ts'

/** Everything but the topics' specifications. */
export const defaultAggregatorOptions: Omit<AggregatorOptions, 'topics'> = {
  inputTopic: topicNames.writes,
  outputTopic: topicNames.updates,
  groupId: 'blockferry-aggregator',
  windowAgeMsMax: windowAgeMsDefault,
  foldingBytesMax: 128 * MiB,
  queuedBytesMax: 8 * MiB,
  fetchBytesMax: 8 * MiB,
  fetchPartitionBytesMax: 4 * MiB,
  fetchWaitMsMax: 100,
  damagedReadsMax: 8,
  backOffMsMin: 100,
  backOffMsMax: 5_000,
}
