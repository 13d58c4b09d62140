import { crc32 } from 'node:zlib'
import { assert } from '@blockferry/runtime'
import { frameHeaderBytes, readUint64, writeUint64 } from './frame.ts'
import type { Lsn } from './segment-log.ts'

/*
 * The first 64 bytes of a segment file:
 *   0  magic "BLKFRYSG"   8  u32 version   12  u32 header bytes   16  u64 start LSN
 *  24  u64 segment bytes  32  16 bytes log id                     60  u32 CRC-32 of bytes 0..59
 */

export const segmentHeaderBytes = 64
export const logIdBytes = 16

const magic = Buffer.from('BLKFRYSG', 'latin1')
const formatVersion = 1
const crcAt = 60
const nameDigits = 16
const namePattern = /^(\d{16})\.segment$/

export interface SegmentHeader {
  readonly startLsn: Lsn
  readonly segmentBytes: number
  /** Random per log (F1). */
  readonly logId: Buffer
}

/** Segments sort by name as by LSN: below 2^53 there are at most 16 digits. */
export function segmentName(startLsn: Lsn): string {
  return `${String(startLsn).padStart(nameDigits, '0')}.segment`
}

/** The start LSN a file name stands for, or null when the file is none of ours. */
export function segmentStartOfName(name: string): Lsn | null {
  const digits = namePattern.exec(name)?.[1]
  return digits === undefined ? null : Number(digits)
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  assert(header.logId.length === logIdBytes, 'a log id has 16 bytes')
  const bytes = Buffer.alloc(segmentHeaderBytes)
  magic.copy(bytes, 0)
  bytes.writeUInt32LE(formatVersion, 8)
  bytes.writeUInt32LE(segmentHeaderBytes, 12)
  writeUint64(bytes, header.startLsn, 16)
  writeUint64(bytes, header.segmentBytes, 24)
  header.logId.copy(bytes, 32)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, crcAt)), crcAt)
  return bytes
}

/** The header, or null when it is not whole or of a version unknown here. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | null {
  if (bytes.length < segmentHeaderBytes || !bytes.subarray(0, 8).equals(magic)) return null
  if (bytes.readUInt32LE(8) !== formatVersion || bytes.readUInt32LE(12) !== segmentHeaderBytes) return null
  if (crc32(bytes.subarray(0, crcAt)) !== bytes.readUInt32LE(crcAt)) return null
  return {
    startLsn: readUint64(bytes, 16),
    segmentBytes: readUint64(bytes, 24),
    logId: Buffer.from(bytes.subarray(32, 32 + logIdBytes)),
  }
}

/** Start of the segment an LSN lies in. An LSN at the very end of a segment lies in the next. */
export function segmentStartOf(lsn: Lsn, segmentBytes: number): Lsn {
  return Math.floor(lsn / segmentBytes) * segmentBytes
}

/** Where a segment's first frame begins. */
export function firstFrameLsn(segmentStart: Lsn): Lsn {
  return segmentStart + segmentHeaderBytes
}

/**
 * Where the frame after `lsn` can begin: `lsn` itself, or the next segment's first frame when not even a
 * header fits into what is left of this one.
 */
export function settleLsn(lsn: Lsn, segmentBytes: number): Lsn {
  const start = segmentStartOf(lsn, segmentBytes)
  if (lsn - start < segmentHeaderBytes) return firstFrameLsn(start)
  const end = start + segmentBytes
  return end - lsn < frameHeaderBytes ? firstFrameLsn(end) : lsn
}
