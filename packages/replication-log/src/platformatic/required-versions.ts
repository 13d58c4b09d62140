import {
  createTopicsV7,
  deleteRecordsV2,
  describeConfigsV4,
  fetchV17,
  findCoordinatorV4,
  heartbeatV4,
  initProducerIdV4,
  joinGroupV9,
  leaveGroupV5,
  listOffsetsV7,
  metadataV12,
  produceV9,
  syncGroupV5,
} from '@platformatic/kafka'

interface RequiredVersion {
  readonly name: string
  readonly key: number
  readonly version: number
}

function required(name: string, api: { readonly key: number; readonly version: number }): RequiredVersion {
  return { name, key: api.key, version: api.version }
}

/** The one version of each request this adapter sends; Fetch v17 makes Kafka 3.9 the oldest broker. */
export const requiredVersions: readonly RequiredVersion[] = [
  required('Metadata', metadataV12.api),
  required('Produce', produceV9.api),
  required('Fetch', fetchV17.api),
  required('ListOffsets', listOffsetsV7.api),
  required('InitProducerId', initProducerIdV4.api),
  required('DeleteRecords', deleteRecordsV2.api),
  required('CreateTopics', createTopicsV7.api),
  required('DescribeConfigs', describeConfigsV4.api),
  required('FindCoordinator', findCoordinatorV4.api),
  required('JoinGroup', joinGroupV9.api),
  required('SyncGroup', syncGroupV5.api),
  required('Heartbeat', heartbeatV4.api),
  required('LeaveGroup', leaveGroupV5.api),
]
