import type Decoder from 'kafkajs/src/protocol/decoder.js'
import Encoder from 'kafkajs/src/protocol/encoder.js'
import {
  type FetchAnswer,
  type FetchBatchesRequest,
  type FetchPartitionRequest,
  type FetchedPartition,
  wire,
} from '../kafka/exchanges.ts'
import { ownExchange } from './exchange.ts'
import { readTopicId, writeTopicId } from './topic-id.ts'

/**
 * Fetch v17. The library's newest, v11, names topics by name, so a topic made again would be read at an
 * offset of the one before it (K3); and its decoder checks no checksum.
 */
export const fetch = ownExchange({ api: 'Fetch', version: 17 }, encode, decode)

const noLogStart = -1n
const empty = Buffer.alloc(0)

function encode({ waitMs, bytesMax, partitions }: FetchBatchesRequest): Encoder {
  const topics = Map.groupBy(partitions, ({ topicId }) => topicId)
  const encodedTopics = [...topics].map(([topicId, asked]) => {
    return writeTopicId(new Encoder(), topicId)
      .writeUVarIntArray(asked.map(encodePartition), 'object')
      .writeUVarInt(0)
  })
  return (
    new Encoder()
      // The tagged fields of the request's header.
      .writeUVarInt(0)
      .writeInt32(waitMs)
      .writeInt32(wire.fetchBytesMin)
      .writeInt32(bytesMax)
      .writeInt8(wire.readUncommitted)
      .writeInt32(wire.fetchSessionId)
      .writeInt32(wire.fetchSessionEpoch)
      .writeUVarIntArray(encodedTopics, 'object')
      .writeUVarIntArray([], 'object')
      .writeUVarIntString('')
      .writeUVarInt(0)
  )
}

function encodePartition(partition: FetchPartitionRequest): Encoder {
  return new Encoder()
    .writeInt32(partition.kafkaPartition)
    .writeInt32(partition.leaderEpoch)
    .writeInt64(partition.kafkaOffset)
    .writeInt32(wire.unknownEpoch)
    .writeInt64(noLogStart)
    .writeInt32(partition.bytesMax)
    .writeUVarInt(0)
}

function decode(decoder: Decoder): FetchAnswer {
  decoder.readInt32()
  const errorCode = decoder.readInt16()
  decoder.readInt32()
  const topics = decoder.readUVarIntArray((topic) => {
    const topicId = readTopicId(topic)
    const partitions = topic.readUVarIntArray((partition) => readPartition(topicId, partition)) ?? []
    topic.readTaggedFields()
    return partitions
  })
  return { errorCode, partitions: (topics ?? []).flat() }
}

function readPartition(topicId: string, decoder: Decoder): FetchedPartition {
  const kafkaPartition = decoder.readInt32()
  const errorCode = decoder.readInt16()
  const highWatermark = decoder.readInt64()
  decoder.readInt64()
  decoder.readInt64()
  decoder.readUVarIntArray(skipAborted)
  decoder.readInt32()
  // COMPACT_RECORDS: length + 1, 0 for null.
  const batchesBytes = Math.max(0, decoder.readUVarInt() - 1)
  const batches = batchesBytes === 0 ? empty : decoder.readBytes(batchesBytes)
  decoder.readTaggedFields()
  return { topicId, kafkaPartition, errorCode, highWatermark, batches }
}

/** Producer id, first offset, tagged fields; transactions are not used (K6). */
function skipAborted(decoder: Decoder): void {
  decoder.readInt64()
  decoder.readInt64()
  decoder.readTaggedFields()
}
