import {
  type Reader,
  type ResponseParser,
  createAPI,
  fetchV17,
  readKnownTaggedFields,
} from '@platformatic/kafka'

/** One partition of an answer, its batches still as the broker stored them. */
export interface FetchedPartition {
  readonly topicId: string
  readonly kafkaPartition: number
  readonly errorCode: number
  readonly highWatermark: bigint
  readonly logStartOffset: bigint
  readonly batches: Buffer
}

export interface FetchAnswer {
  readonly errorCode: number
  readonly partitions: readonly FetchedPartition[]
}

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
  const logStartOffset = reader.readInt64()
  reader.readNullableArray((aborted) => [aborted.readInt64(), aborted.readInt64()])
  reader.readInt32()
  // COMPACT_RECORDS: length + 1, 0 for null.
  const batchesBytes = Math.max(0, reader.readUnsignedVarInt() - 1)
  const batches =
    batchesBytes === 0 ? empty : reader.buffer.slice(reader.position, reader.position + batchesBytes)
  reader.skip(batchesBytes)
  readKnownTaggedFields(reader, {})
  return { topicId, kafkaPartition, errorCode, highWatermark, logStartOffset, batches }
}

export const fetchRaw = createAPI<fetchV17.FetchRequest, FetchAnswer>(
  1,
  17,
  fetchV17.createRequest,
  parseAnswer,
)

/** A fetch outside any broker-side session: no state that a reconnect could leave stale. */
export const sessionless = { sessionId: 0, sessionEpoch: -1 } as const
/** K6: not known; the broker then does not compare epochs. */
export const unknownEpoch = -1
