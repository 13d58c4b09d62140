import type { FetchedRecord } from '../replication-log.ts'
import { batchCrc, batchHeaderBytes } from './record-batch.ts'

export interface DecodedBatches {
  readonly records: readonly FetchedRecord[]
  /** After the last whole batch; compaction may leave it beyond the last record. */
  readonly nextKafkaOffset: bigint
  /** Why reading stopped before the end, null when it did not. */
  readonly problem: string | null
  /** Where the batch behind a damaged one begins, as far as can be told; null when nothing is damaged. */
  readonly behindDamage: bigint | null
}

export interface PartitionBytes {
  readonly bytes: Buffer
  /** No stored batch reaches beyond. */
  readonly highWatermark: bigint
}

const compressionBits = 0b111
const logAppendTimeBit = 0b1000
const controlBit = 0b100000
/** Offsets that one batch may span: a header that claims more is damaged. */
const offsetsMax = 1 << 20
/** Nothing is damaged: somebody else's client wrote it, or the mirror is set up otherwise than we ask. */
const compressed = 'batch is compressed'
const empty = Buffer.alloc(0)

/** A record batch that cannot be what a broker stored. */
class MalformedBatch extends Error {}

/**
 * Decodes the batches of one partition of a fetch, from `kafkaOffset` on. A batch cut short at the end is
 * normal (the broker fills its byte limit) and left for the next fetch; a wrong checksum is not, nor is a first
 * batch cut short (the broker sends that whole), nor offsets that cannot be, for the checksum does not cover
 * them: what came before is returned, then the problem. Keys and values are views of `bytes`.
 */
export function decodeRecordBatches(
  { bytes, highWatermark }: PartitionBytes,
  kafkaOffset: bigint,
): DecodedBatches {
  const records: FetchedRecord[] = []
  let nextKafkaOffset = kafkaOffset
  let at = 0
  const stop = (problem: string): DecodedBatches => {
    const isDamage = problem !== compressed
    const behind = isDamage ? behindBatch(bytes, at, nextKafkaOffset) : null
    const isPossible = behind === null || (behind > nextKafkaOffset && behind <= highWatermark)
    return { records, nextKafkaOffset, problem, behindDamage: isPossible ? behind : nextKafkaOffset + 1n }
  }
  while (bytes.length - at >= batchHeaderBytes) {
    const batchBytes = batchBytesAt(bytes, at)
    if (batchBytes < batchHeaderBytes) return stop('impossible batch length')
    const isCutShort = batchBytes > bytes.length - at
    if (isCutShort && at === 0) return stop('the batch is longer than what is stored')
    if (isCutShort) break
    const afterBatch = afterBatchAt(bytes, at)
    const isOverlap = at > 0 && bytes.readBigInt64BE(at) < nextKafkaOffset
    if (isOverlap || afterBatch <= nextKafkaOffset) return stop('its offsets lie before its place')
    if (afterBatch > highWatermark) return stop('its offsets lie beyond the end')
    const problem = decodeBatch(bytes.subarray(at, at + batchBytes), kafkaOffset, records)
    if (problem !== null) return stop(problem)
    nextKafkaOffset = afterBatch
    at += batchBytes
  }
  return { records, nextKafkaOffset, problem: null, behindDamage: null }
}

function batchBytesAt(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at + 8) + 12
}

function afterBatchAt(bytes: Buffer, at: number): bigint {
  return bytes.readBigInt64BE(at) + BigInt(bytes.readInt32BE(at + 23)) + 1n
}

/** A sound batch behind the damaged one says where it begins; else the damaged header is believed if it makes sense. */
function behindBatch(bytes: Buffer, at: number, kafkaOffset: bigint): bigint {
  const nextAt = at + batchBytesAt(bytes, at)
  if (nextAt > at && isSoundBatch(bytes, nextAt)) return bytes.readBigInt64BE(nextAt)
  const spans = afterBatchAt(bytes, at) - kafkaOffset
  const count = bytes.readInt32BE(at + 57)
  const makesSense = count === bytes.readInt32BE(at + 23) + 1 && spans <= offsetsMax
  return makesSense ? kafkaOffset + spans : kafkaOffset + 1n
}

function isSoundBatch(bytes: Buffer, at: number): boolean {
  if (bytes.length - at < batchHeaderBytes || bytes.readInt8(at + 16) !== 2) return false
  const batchBytes = batchBytesAt(bytes, at)
  if (batchBytes < batchHeaderBytes || batchBytes > bytes.length - at) return false
  const batch = bytes.subarray(at, at + batchBytes)
  return batch.readUInt32BE(17) === batchCrc(batch)
}

function decodeBatch(batch: Buffer, kafkaOffset: bigint, into: FetchedRecord[]): string | null {
  if (batch.readInt8(16) !== 2) return `batch format ${batch.readInt8(16)}`
  if (batch.readUInt32BE(17) !== batchCrc(batch)) return 'checksum differs'
  const attributes = batch.readInt16BE(21)
  if ((attributes & controlBit) !== 0) return null
  // K7: compression is inside our payloads; a batch somebody else compressed is not expanded unbounded here.
  if ((attributes & compressionBits) !== 0) return compressed
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
