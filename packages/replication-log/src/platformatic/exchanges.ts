import {
  ConfigResourceTypes,
  apiVersionsV3,
  createTopicsV7,
  deleteRecordsV2,
  deleteTopicsV6,
  describeConfigsV4,
  initProducerIdV4,
  listOffsetsV7,
  metadataV12,
} from '@platformatic/kafka'
import { wire } from '../kafka/exchanges.ts'
import { type PlatformaticExchanges, exchange, only } from './exchange.ts'
import { fetchRaw, fetchTopics } from './fetch-request.ts'
import { groupExchanges } from './group-exchanges.ts'
import { produceFrozen } from './produce-request.ts'

/** The one version of each request this adapter sends; Fetch v17 makes Kafka 3.9 the oldest broker. */
export const exchanges: PlatformaticExchanges = {
  ...groupExchanges,
  apiVersions: exchange(
    apiVersionsV3.api,
    () => ['blockferry', '1'],
    ({ apiKeys }) =>
      apiKeys.map(({ apiKey, minVersion, maxVersion }) => ({ key: apiKey, minVersion, maxVersion })),
  ),
  metadata: exchange(
    metadataV12.api,
    ({ topics }) => [[...topics], false, false],
    ({ brokers, topics }) => ({
      brokers,
      topics: topics.map(({ errorCode, name, topicId, partitions }) => ({
        errorCode,
        topic: name ?? null,
        topicId,
        partitions: partitions.map(({ partitionIndex, leaderId, leaderEpoch }) => {
          return { kafkaPartition: partitionIndex, leaderId, leaderEpoch }
        }),
      })),
    }),
  ),
  produce: exchange(
    produceFrozen,
    (request) => [request],
    ({ responses }) => {
      const { errorCode, errorMessage, baseOffset } = only(only(responses).partitionResponses)
      return { errorCode, errorMessage: errorMessage ?? null, firstKafkaOffset: baseOffset }
    },
  ),
  fetch: exchange(
    fetchRaw,
    ({ waitMs, bytesMax, partitions }) => [
      waitMs,
      wire.fetchBytesMin,
      bytesMax,
      wire.readUncommitted,
      wire.fetchSessionId,
      wire.fetchSessionEpoch,
      fetchTopics(partitions),
      [],
      '',
    ],
    (answer) => answer,
  ),
  listOffsets: exchange(
    listOffsetsV7.api,
    ({ topic, kafkaPartition, leaderEpoch, timestamp }) => {
      const partitions = [{ partitionIndex: kafkaPartition, currentLeaderEpoch: leaderEpoch, timestamp }]
      return [wire.consumer, wire.readUncommitted, [{ name: topic, partitions }]]
    },
    ({ topics }) => {
      const { errorCode, offset } = only(only(topics).partitions)
      return { errorCode, kafkaOffset: offset }
    },
  ),
  beginSession: exchange(
    initProducerIdV4.api,
    () => [null, 0, -1n, -1],
    ({ errorCode, producerId, producerEpoch }) => ({ errorCode, producerId, producerEpoch }),
  ),
  deleteRecords: exchange(
    deleteRecordsV2.api,
    ({ topic, kafkaPartition, beforeKafkaOffset, timeoutMs }) => {
      const partitions = [{ partitionIndex: kafkaPartition, offset: beforeKafkaOffset }]
      return [[{ name: topic, partitions }], timeoutMs]
    },
    ({ topics }) => only(only(topics).partitions),
  ),
  createTopics: exchange(
    createTopicsV7.api,
    ({ specs, timeoutMs }) => {
      const topics = specs.map(({ topic, partitions, config }) => ({
        name: topic,
        numPartitions: partitions,
        replicationFactor: wire.brokersDefaultReplication,
        assignments: [],
        configs: Object.entries(config).map(([name, value]) => ({ name, value })),
      }))
      return [topics, timeoutMs, false]
    },
    ({ topics }) =>
      topics.map(({ name, errorCode, errorMessage }) => {
        return { topic: name, errorCode, errorMessage: errorMessage ?? null }
      }),
  ),
  describeTopics: exchange(
    describeConfigsV4.api,
    ({ topics }) => [
      topics.map((resourceName) => ({ resourceType: ConfigResourceTypes.TOPIC, resourceName })),
      false,
      false,
    ],
    ({ results }) =>
      results.map(({ resourceName, errorCode, configs }) => ({
        topic: resourceName,
        errorCode,
        config: Object.fromEntries(configs.map(({ name, value }) => [name, value ?? ''])),
      })),
  ),
  deleteTopic: exchange(
    deleteTopicsV6.api,
    ({ topic, timeoutMs }) => [[{ name: topic }], timeoutMs],
    ({ responses }) => only(responses),
  ),
}
