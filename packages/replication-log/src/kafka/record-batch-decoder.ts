import type { FetchedRecord } from '../replication-log.ts'
import { batchCrc, batchHeaderBytes } from './record-batch.ts'

export interface DecodedBatches {
  readonly records: readonly FetchedRecord[]
  /** After the last whole batch; compaction may leave it beyond the last record. */
  readonly nextKafkaOffset: bigint
  /** Why reading stopped before the end, null when it did not. */
  readonly problem: string | null
}

const compressionBits = 0b111
const logAppendTimeBit = 0b1000
const controlBit = 0b100000
const empty = Buffer.alloc(0)

/** A record batch that cannot be what a broker stored. */
class MalformedBatch extends Error {}

/**
 * Decodes the batches of one partition of a fetch, from `kafkaOffset` on. A batch cut short at the end is
 * normal (the broker fills its byte limit) and left for the next fetch; a wrong checksum is not: what came
 * before it is returned, then the problem. Keys and values are views of `bytes`.
 */
export function decodeRecordBatches(bytes: Buffer, kafkaOffset: bigint): DecodedBatches {
  const records: FetchedRecord[] = []
  let nextKafkaOffset = kafkaOffset
  for (let at = 0; bytes.length - at >= batchHeaderBytes;) {
    const batchBytes = bytes.readInt32BE(at + 8) + 12
    if (batchBytes < batchHeaderBytes) return { records, nextKafkaOffset, problem: 'impossible batch length' }
    if (batchBytes > bytes.length - at) break
    const batch = bytes.subarray(at, at + batchBytes)
    const problem = decodeBatch(batch, kafkaOffset, records)
    if (problem !== null) return { records, nextKafkaOffset, problem }
    const afterBatch = batch.readBigInt64BE(0) + BigInt(batch.readInt32BE(23)) + 1n
    if (afterBatch > nextKafkaOffset) nextKafkaOffset = afterBatch
    at += batchBytes
  }
  return { records, nextKafkaOffset, problem: null }
}

function decodeBatch(batch: Buffer, kafkaOffset: bigint, into: FetchedRecord[]): string | null {
  if (batch.readInt8(16) !== 2) return `batch format ${batch.readInt8(16)}`
  if (batch.readUInt32BE(17) !== batchCrc(batch)) return 'checksum differs'
  const attributes = batch.readInt16BE(21)
  if ((attributes & controlBit) !== 0) return null
  // K7: compression is inside our payloads; a batch somebody else compressed is not expanded unbounded here.
  if ((attributes & compressionBits) !== 0) return 'batch is compressed'
  try {
    for (const record of readRecords(batch, attributes)) {
      if (record.kafkaOffset >= kafkaOffset) into.push(record)
    }
    return null
  } catch (error) {
    if (error instanceof MalformedBatch) return error.message
    throw error
  }
}

function* readRecords(batch: Buffer, attributes: number): Generator<FetchedRecord> {
  const baseOffset = batch.readBigInt64BE(0)
  const baseTimestampMs = Number(batch.readBigInt64BE(27))
  const maxTimestampMs = Number(batch.readBigInt64BE(35))
  const count = batch.readInt32BE(57)
  const cursor = new Cursor(batch, batchHeaderBytes)
  for (let index = 0; index < count; index += 1) {
    const recordBytes = cursor.varint()
    const end = cursor.at + recordBytes
    cursor.skip(1)
    const timestampDelta = cursor.varint()
    const offsetDelta = cursor.varint()
    const key = cursor.bytes()
    const value = cursor.bytes()
    cursor.moveTo(end)
    const logAppendTime = (attributes & logAppendTimeBit) !== 0
    yield {
      key,
      value: value ?? empty,
      kafkaOffset: baseOffset + BigInt(offsetDelta),
      timestampMs: logAppendTime ? maxTimestampMs : baseTimestampMs + timestampDelta,
    }
  }
}

/** Reads within one batch; running past its end is a malformed batch, not a crash. */
class Cursor {
  readonly #bytes: Buffer
  at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.at = at
  }

  /** Zigzag varint. Arithmetic, not bit operations: timestamp deltas may exceed 32 bits. */
  varint(): number {
    let value = 0
    let scale = 1
    for (let read = 0; read < 10; read += 1) {
      const byte = this.#bytes[this.at]
      if (byte === undefined) throw new MalformedBatch('a record ends early')
      this.at += 1
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
      scale *= 128
    }
    throw new MalformedBatch('a number is too long')
  }

  bytes(): Buffer | null {
    const length = this.varint()
    if (length < 0) return null
    const start = this.at
    this.skip(length)
    return this.#bytes.subarray(start, start + length)
  }

  skip(length: number): void {
    this.moveTo(this.at + length)
  }

  moveTo(at: number): void {
    if (at < this.at || at > this.#bytes.length) throw new MalformedBatch('a record ends early')
    this.at = at
  }
}
