import {
  type Reader,
  type ResponseParser,
  createAPI,
  fetchV17,
  readKnownTaggedFields,
} from '@platformatic/kafka'
import {
  type FetchAnswer,
  type FetchPartitionRequest,
  type FetchedPartition,
  wire,
} from '../kafka/exchanges.ts'

const empty = Buffer.alloc(0)

/**
 * Fetch v17 (grammar: the library's fetch-v17). Parsed here because the library throws away the whole
 * answer's control flow when one partition has an error, and checks no batch checksum (K6, L4).
 */
function parseAnswer(...[, , , reader]: Parameters<ResponseParser<FetchAnswer>>): FetchAnswer {
  reader.readInt32()
  const errorCode = reader.readInt16()
  reader.readInt32()
  const topics = reader.readArray((topicReader) => {
    const topicId = topicReader.readUUID()
    return topicReader.readArray((partition) => readPartition(topicId, partition), true, false)
  })
  return { errorCode, partitions: topics.flat() }
}

function readPartition(topicId: string, reader: Reader): FetchedPartition {
  const kafkaPartition = reader.readInt32()
  const errorCode = reader.readInt16()
  const highWatermark = reader.readInt64()
  reader.readInt64()
  reader.readInt64()
  reader.readNullableArray((aborted) => [aborted.readInt64(), aborted.readInt64()])
  reader.readInt32()
  // COMPACT_RECORDS: length + 1, 0 for null.
  const batchesBytes = Math.max(0, reader.readUnsignedVarInt() - 1)
  const batches =
    batchesBytes === 0 ? empty : reader.buffer.slice(reader.position, reader.position + batchesBytes)
  reader.skip(batchesBytes)
  readKnownTaggedFields(reader, {})
  return { topicId, kafkaPartition, errorCode, highWatermark, batches }
}

export const fetchRaw = createAPI<fetchV17.FetchRequest, FetchAnswer>(
  1,
  17,
  fetchV17.createRequest,
  parseAnswer,
)

/** The partitions of a request, by topic as the protocol wants them. */
export function fetchTopics(partitions: readonly FetchPartitionRequest[]): fetchV17.FetchRequestTopic[] {
  const topics = Map.groupBy(partitions, ({ topicId }) => topicId)
  return [...topics].map(([topicId, asked]) => ({
    topicId,
    partitions: asked.map(({ kafkaPartition, leaderEpoch, kafkaOffset, bytesMax }) => ({
      partition: kafkaPartition,
      currentLeaderEpoch: leaderEpoch,
      fetchOffset: kafkaOffset,
      lastFetchedEpoch: wire.unknownEpoch,
      partitionMaxBytes: bytesMax,
    })),
  }))
}
