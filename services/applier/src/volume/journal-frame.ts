import { assert } from '@blockferry/runtime'

/*
 * A frame of the redo journal: where the record came from, then the record as Kafka carried it. The
 * record keeps its own checksums, so what is replayed is judged by the very bytes that were received.
 *
 *   kafkaPartition u32 | reserved u32 | kafkaOffset u64 | receivedAtMs f64 | record   (little-endian)
 */

export const journalFrameHeaderBytes = 24

export interface JournalFrame {
  readonly kafkaPartition: number
  readonly kafkaOffset: bigint
  /** Target wall time at which the record was fetched, ms. */
  readonly receivedAtMs: number
  /** A view where the frame is one. */
  readonly record: Buffer
}

/** The buffers of a frame's body, for one append. */
export function encodeJournalFrame(frame: JournalFrame): readonly Buffer[] {
  const header = Buffer.alloc(journalFrameHeaderBytes)
  header.writeUInt32LE(frame.kafkaPartition, 0)
  header.writeBigUInt64LE(frame.kafkaOffset, 8)
  header.writeDoubleLE(frame.receivedAtMs, 16)
  return [header, frame.record]
}

/** The frame in a body that passed the log's checksum. */
export function decodeJournalFrame(body: Buffer): JournalFrame {
  assert(body.byteLength > journalFrameHeaderBytes, 'a journal frame holds a record')
  return {
    kafkaPartition: body.readUInt32LE(0),
    kafkaOffset: body.readBigUInt64LE(8),
    receivedAtMs: body.readDoubleLE(16),
    record: body.subarray(journalFrameHeaderBytes),
  }
}
