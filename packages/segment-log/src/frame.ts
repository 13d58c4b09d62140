/*
 * One frame: a 32-byte header, the body, zeroes up to a multiple of 8.
 *
 *   0  u32 magic            4  u32 body bytes        8  u64 LSN
 *  16  u64 attempt         24  u32 flags            28  u32 CRC-32 of bytes 0..27 and the body
 *
 * Invariant F1: the CRC is seeded with the log's random id and covers the LSN, so neither another log's
 *   frame in recycled blocks nor our own at another place is ever taken for this one.
 * Invariant F2: every append attempt has a higher number than all before it, failed ones included, and
 *   numbers never decrease along the log. So what a failed attempt left beyond the tail cannot continue
 *   what was written there later. (A chain of CRCs could not tell: retry the same first frame alone, and
 *   the stale second one fits it again.)
 * Invariant F3: only the last frame of an append carries `commits`. Recovery ends the log at the last
 *   frame that does, so an append is in the log whole or not at all.
 */

import { crc32 } from 'node:zlib'
import { MiB } from '@blockferry/runtime'
import type { Lsn } from './segment-log.ts'

export const frameHeaderBytes = 32
/** Longest body of a frame. */
export const frameBodyBytesMax = 8 * MiB

/** `commits`: last of its append. `ends`: no frame follows in this segment; not shown to readers. */
export const FrameFlag = { none: 0, commits: 1, ends: 2 } as const

const magic = 0x6d726642
const crcAt = 28
const uint32Span = 0x1_0000_0000

/** The magic as it lies in a file. */
export const frameMagic = Buffer.from([0x42, 0x66, 0x72, 0x6d])

export interface FrameHeader {
  readonly bodyBytes: number
  readonly attempt: number
  readonly flags: number
  readonly crc: number
}

/** Bytes a frame takes in its segment. */
export function frameBytes(bodyBytes: number): number {
  return Math.ceil((frameHeaderBytes + bodyBytes) / 8) * 8
}

/** What the CRC of every frame of a log starts from (F1). */
export function crcSeedOf(logId: Buffer): number {
  return crc32(logId)
}

export interface FrameFacts {
  readonly lsn: Lsn
  readonly attempt: number
  readonly flags: number
  readonly bodyBytes: number
}

/** Writes a header into `target`, whose first 32 bytes it fills. */
export function writeFrameHeader(target: Buffer, facts: FrameFacts): void {
  target.writeUInt32LE(magic, 0)
  target.writeUInt32LE(facts.bodyBytes, 4)
  writeUint64(target, facts.lsn, 8)
  writeUint64(target, facts.attempt, 16)
  target.writeUInt32LE(facts.flags, 24)
}

/** Completes the header in `target` with the CRC of itself and the body's buffers. */
export function sealFrame(target: Buffer, body: readonly Buffer[], crcSeed: number): void {
  let crc = crc32(target.subarray(0, crcAt), crcSeed)
  for (const part of body) crc = crc32(part, crc)
  target.writeUInt32LE(crc, crcAt)
}

/** The header at `at`, or null when it is not one of a frame that begins at `lsn`. The CRC is yet to be checked. */
export function readFrameHeader(buffer: Buffer, at: number, lsn: Lsn): FrameHeader | null {
  if (buffer.readUInt32LE(at) !== magic || readUint64(buffer, at + 8) !== lsn) return null
  const bodyBytes = buffer.readUInt32LE(at + 4)
  if (bodyBytes > frameBodyBytesMax) return null
  return {
    bodyBytes,
    attempt: readUint64(buffer, at + 16),
    flags: buffer.readUInt32LE(at + 24),
    crc: buffer.readUInt32LE(at + crcAt),
  }
}

/** Whether the frame whose header and body lie at `at` is as it was written. */
export function frameIsIntact(
  buffer: Buffer,
  at: number,
  expected: { header: FrameHeader; crcSeed: number },
): boolean {
  const { header, crcSeed } = expected
  const headerCrc = crc32(buffer.subarray(at, at + crcAt), crcSeed)
  const body = buffer.subarray(at + frameHeaderBytes, at + frameHeaderBytes + header.bodyBytes)
  return crc32(body, headerCrc) === header.crc
}

/** Two 32-bit halves: a BigInt per frame would cost an allocation. Values are below 2^53. */
export function writeUint64(target: Buffer, value: number, at: number): void {
  target.writeUInt32LE(value % uint32Span, at)
  target.writeUInt32LE(Math.floor(value / uint32Span), at + 4)
}

export function readUint64(source: Buffer, at: number): number {
  return source.readUInt32LE(at + 4) * uint32Span + source.readUInt32LE(at)
}
