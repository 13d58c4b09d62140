import library from 'kafkajs/src/protocol/requests/index.js'
import { wire } from '../kafka/exchanges.ts'
import { type KafkajsExchanges, libraryExchange, only } from './exchange.ts'
import { fetch } from './fetch-exchange.ts'
import { groupExchanges } from './group-exchanges.ts'
import { metadata } from './metadata-exchange.ts'
import { produce } from './produce-exchange.ts'

const { requests } = library

/**
 * The one version of each request this adapter sends: the library's newest, and our own encodings where it
 * has none that will do. Fetch v17 makes Kafka 3.9 the oldest broker.
 */
export const exchanges: KafkajsExchanges = {
  ...groupExchanges,
  metadata,
  produce,
  fetch,
  apiVersions: libraryExchange(
    { name: { api: 'ApiVersions', version: 2 }, by: requests.ApiVersions },
    () => undefined,
    ({ apiVersions }) =>
      apiVersions.map(({ apiKey, minVersion, maxVersion }) => ({ key: apiKey, minVersion, maxVersion })),
  ),
  listOffsets: libraryExchange(
    { name: { api: 'ListOffsets', version: 3 }, by: requests.ListOffsets },
    ({ topic, kafkaPartition, timestamp }) => ({
      replicaId: wire.consumer,
      isolationLevel: wire.readUncommitted,
      topics: [{ topic, partitions: [{ partition: kafkaPartition, timestamp }] }],
    }),
    ({ responses }) => {
      const { errorCode, offset } = only(only(responses).partitions)
      return { errorCode, kafkaOffset: BigInt(offset) }
    },
  ),
  beginSession: libraryExchange(
    { name: { api: 'InitProducerId', version: 1 }, by: requests.InitProducerId },
    () => ({ transactionalId: null, transactionTimeout: 0 }),
    ({ errorCode, producerId, producerEpoch }) => {
      return { errorCode, producerId: BigInt(producerId), producerEpoch }
    },
  ),
  deleteRecords: libraryExchange(
    { name: { api: 'DeleteRecords', version: 1 }, by: requests.DeleteRecords },
    ({ topic, kafkaPartition, beforeKafkaOffset, timeoutMs }) => ({
      topics: [{ topic, partitions: [{ partition: kafkaPartition, offset: beforeKafkaOffset }] }],
      timeout: timeoutMs,
    }),
    ({ topics }) => only(only(topics).partitions),
  ),
  createTopics: libraryExchange(
    { name: { api: 'CreateTopics', version: 3 }, by: requests.CreateTopics },
    ({ specs, timeoutMs }) => ({
      topics: specs.map(({ topic, partitions, config }) => ({
        topic,
        numPartitions: partitions,
        replicationFactor: wire.brokersDefaultReplication,
        configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
      })),
      validateOnly: false,
      timeout: timeoutMs,
    }),
    ({ topicErrors }) =>
      topicErrors.map(({ topic, errorCode, errorMessage = null }) => ({ topic, errorCode, errorMessage })),
  ),
  describeTopics: libraryExchange(
    { name: { api: 'DescribeConfigs', version: 2 }, by: requests.DescribeConfigs },
    ({ topics }) => ({
      resources: topics.map((name) => ({ type: wire.topicResource, name })),
      includeSynonyms: false,
    }),
    ({ resources }) =>
      resources.map(({ resourceName, errorCode, configEntries }) => ({
        topic: resourceName,
        errorCode,
        config: Object.fromEntries(
          configEntries.map(({ configName, configValue }) => [configName, configValue ?? '']),
        ),
      })),
  ),
  deleteTopic: libraryExchange(
    { name: { api: 'DeleteTopics', version: 1 }, by: requests.DeleteTopics },
    ({ topic, timeoutMs }) => ({ topics: [topic], timeout: timeoutMs }),
    ({ topicErrors }) => only(topicErrors),
  ),
}
