import Encoder from 'kafkajs/src/protocol/encoder.js'
import library from 'kafkajs/src/protocol/requests/index.js'
import { type Exchanges, type ProduceFrozenRequest, wire } from '../kafka/exchanges.ts'
import { type KafkajsExchange, libraryExchange, only } from './exchange.ts'

type Produce = KafkajsExchange<ProduceFrozenRequest, Exchanges['produce']['answer']>

const read: Produce = libraryExchange(
  { name: { api: 'Produce', version: 7 }, by: library.requests.Produce },
  () => ({ acks: wire.allReplicas, topicData: [] as const }),
  ({ topics }) => {
    const { errorCode, baseOffset } = only(only(topics).partitions)
    return { errorCode, errorMessage: null, firstKafkaOffset: BigInt(baseOffset) }
  },
)

/**
 * Produce v7 with a batch that is bytes already, answered in the library's words. Its own request encodes
 * the records anew at each send; a retry must be the same batch (L3).
 */
export const produce: Produce = {
  ...read,
  begin: (request) => ({ ...read.begin(request), encode: async () => encode(request) }),
}

function encode({ topic, kafkaPartition, batch, timeoutMs }: ProduceFrozenRequest): readonly Buffer[] {
  const one = 1
  const head = new Encoder()
    .writeString(null)
    .writeInt16(wire.allReplicas)
    .writeInt32(timeoutMs)
    .writeInt32(one)
    .writeString(topic)
    .writeInt32(one)
    .writeInt32(kafkaPartition)
    .writeInt32(batch.length)
  return [head.buffer, batch]
}
