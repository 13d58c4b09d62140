import type Decoder from 'kafkajs/src/protocol/decoder.js'
import Encoder from 'kafkajs/src/protocol/encoder.js'
import type { MetadataAnswer } from '../kafka/exchanges.ts'
import { ownExchange } from './exchange.ts'
import { noTopicId, readTopicId, writeTopicId } from './topic-id.ts'

/** Metadata v12: the library's newest, v6, has no topic ids, and K3 rests on them. */
export const metadata = ownExchange({ api: 'Metadata', version: 12 }, encode, decode)

function encode({ topics }: { readonly topics: readonly string[] }): Encoder {
  const named = topics.map((topic) => {
    return writeTopicId(new Encoder(), noTopicId).writeUVarIntString(topic).writeUVarInt(0)
  })
  return (
    new Encoder()
      // The tagged fields of the request's header.
      .writeUVarInt(0)
      .writeUVarIntArray(named, 'object')
      .writeBoolean(false)
      .writeBoolean(false)
      .writeUVarInt(0)
  )
}

function decode(decoder: Decoder): MetadataAnswer {
  decoder.readInt32()
  const brokers = decoder.readUVarIntArray(readBroker) ?? []
  decoder.readUVarIntString()
  decoder.readInt32()
  return { brokers, topics: decoder.readUVarIntArray(readTopic) ?? [] }
}

function readBroker(decoder: Decoder): MetadataAnswer['brokers'][number] {
  const nodeId = decoder.readInt32()
  const host = decoder.readUVarIntString() ?? ''
  const port = decoder.readInt32()
  decoder.readUVarIntString()
  decoder.readTaggedFields()
  return { nodeId, host, port }
}

function readTopic(decoder: Decoder): MetadataAnswer['topics'][number] {
  const errorCode = decoder.readInt16()
  const topic = decoder.readUVarIntString()
  const topicId = readTopicId(decoder)
  decoder.readBoolean()
  const partitions = decoder.readUVarIntArray(readPartition) ?? []
  decoder.readInt32()
  decoder.readTaggedFields()
  return { errorCode, topic, topicId, partitions }
}

function readPartition(decoder: Decoder): MetadataAnswer['topics'][number]['partitions'][number] {
  decoder.readInt16()
  const kafkaPartition = decoder.readInt32()
  const leaderId = decoder.readInt32()
  const leaderEpoch = decoder.readInt32()
  const replicaLists = 3
  for (let list = 0; list < replicaLists; list += 1)
    decoder.readUVarIntArray((replicas) => replicas.readInt32())
  decoder.readTaggedFields()
  return { kafkaPartition, leaderId, leaderEpoch }
}
