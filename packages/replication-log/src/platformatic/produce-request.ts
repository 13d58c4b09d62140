import { Writer, createAPI, produceV9 } from '@platformatic/kafka'
import { type ProduceFrozenRequest, wire } from '../kafka/exchanges.ts'

const produceKey = 0

/**
 * Produce v9 for one partition with a batch that is bytes already. The library's own request encodes the
 * records anew at each send, with a new timestamp; a retry must be the same batch (L3).
 */
function createRequest({ batch, timeoutMs, ...partition }: ProduceFrozenRequest): Writer {
  return Writer.create()
    .appendString(null)
    .appendInt16(wire.allReplicas)
    .appendInt32(timeoutMs)
    .appendArray([partition], (topicWriter, { topic, kafkaPartition }) => {
      topicWriter.appendString(topic).appendArray([kafkaPartition], (partitionWriter) => {
        partitionWriter
          .appendInt32(kafkaPartition)
          .appendUnsignedVarInt(batch.length + 1)
          .append(batch)
      })
    })
    .appendTaggedFields()
}

export const produceFrozen = createAPI<[request: ProduceFrozenRequest], produceV9.ProduceResponse>(
  produceKey,
  9,
  createRequest,
  produceV9.parseResponse,
)
