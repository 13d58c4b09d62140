import { assert } from '@blockferry/runtime'
import type { OutgoingRecord } from '../replication-log.ts'
import { crc32c } from './crc32c.ts'

/*
 * Kafka's record batch, format 2. Encoded once into one buffer, so that a retry sends the very same
 * bytes (L3); decoded with its checksum verified, which both libraries leave out.
 */

export const batchHeaderBytes = 61
const crcOffset = 17
const attributesOffset = 21

/** Who sends a batch, and its place in that session: the broker drops what it has already. */
export interface BatchIdentity {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly firstSequence: number
}

export interface BatchHead {
  readonly identity: BatchIdentity
  readonly timestampMs: number
  /** Written to, if it is large enough; else a buffer is made. */
  readonly into?: Buffer
}

/** Encodes records, uncompressed (K7), as one batch; a view of `into` where that was used. */
export function encodeRecordBatch(records: readonly OutgoingRecord[], head: BatchHead): Buffer {
  const { identity, into, timestampMs } = head
  assert(records.length > 0, 'a batch holds at least one record')
  const bodies = records.map(recordBodyBytes)
  const recordsBytes = bodies.reduce((sum, body) => sum + varintBytes(body) + body, 0)
  const batchBytes = batchHeaderBytes + recordsBytes
  const fits = into !== undefined && into.length >= batchBytes
  const batch = fits ? into.subarray(0, batchBytes) : Buffer.allocUnsafe(batchBytes)
  let at = batchHeaderBytes
  for (const [index, record] of records.entries()) {
    at = writeVarint(batch, bodies[index] ?? 0, at)
    at = writeRecord(batch, { record, index, at })
  }
  assert(at === batch.length, 'the batch is as long as computed')
  batch.writeBigInt64BE(0n, 0)
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt32BE(-1, 12)
  batch.writeInt8(2, 16)
  batch.writeInt16BE(0, attributesOffset)
  batch.writeInt32BE(records.length - 1, 23)
  batch.writeBigInt64BE(BigInt(timestampMs), 27)
  batch.writeBigInt64BE(BigInt(timestampMs), 35)
  batch.writeBigInt64BE(identity.producerId, 43)
  batch.writeInt16BE(identity.producerEpoch, 51)
  batch.writeInt32BE(identity.firstSequence, 53)
  batch.writeInt32BE(records.length, 57)
  batch.writeUInt32BE(batchCrc(batch), crcOffset)
  return batch
}

/** CRC-32C over everything from the attributes on. */
export function batchCrc(batch: Buffer): number {
  return crc32c(batch.subarray(attributesOffset))
}

function recordBodyBytes({ key, value }: OutgoingRecord, index: number): number {
  // Attributes, timestamp delta (0), offset delta, key, value, header count (0).
  return (
    2 +
    varintBytes(index) +
    varintBytes(key.length) +
    key.length +
    varintBytes(value.length) +
    value.length +
    1
  )
}

function writeRecord(
  batch: Buffer,
  { record, index, at: start }: { record: OutgoingRecord; index: number; at: number },
): number {
  let at = start
  batch[at] = 0
  batch[at + 1] = 0
  at = writeVarint(batch, index, at + 2)
  at = writeVarint(batch, record.key.length, at)
  at += record.key.copy(batch, at)
  at = writeVarint(batch, record.value.length, at)
  at += record.value.copy(batch, at)
  batch[at] = 0
  return at + 1
}

/** Bytes of a non-negative number as a zigzag varint. */
function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value * 2; rest >= 128; rest = Math.floor(rest / 128)) bytes += 1
  return bytes
}

function writeVarint(target: Buffer, value: number, start: number): number {
  let at = start
  let rest = value * 2
  for (; rest >= 128; rest = Math.floor(rest / 128)) {
    target[at] = (rest % 128) | 0x80
    at += 1
  }
  target[at] = rest
  return at + 1
}
