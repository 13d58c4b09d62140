import { crc32 } from 'node:zlib'
import { assert, unreachable } from '@blockferry/runtime'
import type { MarkEvent, StreamEvent, WriteEvent, ZeroEvent } from './event.ts'

/*
 * The running CRC of a disk's stream (S1).
 *
 * Invariant C1: the chain after an event is a function of the chain before it, its sequence and every field
 * of it, data CRC included; so equal chains at equal sequences mean equal histories, and what differs once
 * differs for ever (CRC-32 is a bijection of its state for equal input).
 * Invariant C2: the layout below never changes within a format version: both sites and every spool compute it.
 *
 * Write and zero, 40 bytes, little-endian:
 *   kind u8 | flags u8 | 0 u16 | dataCrc u32 | sequence u64 | capturedAtMs u64 | byteOffset u64 | byteLength u64
 * Marks: the same first 24 bytes (dataCrc 0), then their fields, strings as u32 length + UTF-8, null as 0xFFFFFFFF.
 */

const headerBytes = 24
const extentHeaderBytes = 40
const two32 = 2 ** 32

const kindCodes = {
  write: 1,
  zero: 2,
  recoveryPoint: 3,
  resyncDone: 4,
  digest: 5,
  geometry: 6,
} as const satisfies Record<StreamEvent['kind'], number>

/** One scratch header for all: this runs for each 4 KiB write, and an allocation would cost more than the CRC. */
const scratch = Buffer.alloc(extentHeaderBytes)
const view = new DataView(scratch.buffer, scratch.byteOffset, scratch.byteLength)

function putUint64(at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'integers of a stream event lie in [0, 2^53)')
  view.setUint32(at, value % two32, true)
  view.setUint32(at + 4, Math.floor(value / two32), true)
}

function putHeader(event: StreamEvent, sequence: number): void {
  view.setUint32(0, kindCodes[event.kind], true)
  view.setUint32(4, 0, true)
  putUint64(8, sequence)
  putUint64(16, event.capturedAtMs)
}

function putExtentHeader(event: WriteEvent | ZeroEvent, sequence: number): void {
  putHeader(event, sequence)
  if (event.kind === 'write') view.setUint32(4, event.dataCrc, true)
  else if (event.mayUnmap) view.setUint8(1, 1)
  putUint64(24, event.byteOffset)
  putUint64(32, event.byteLength)
}

function uint64(value: number): Buffer {
  assert(Number.isSafeInteger(value) && value >= 0, 'integers of a stream event lie in [0, 2^53)')
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function text(value: string | null): readonly Buffer[] {
  if (value === null) return [uint32(0xffff_ffff)]
  const bytes = Buffer.from(value, 'utf8')
  return [uint32(bytes.byteLength), bytes]
}

function markFields(event: MarkEvent): readonly Buffer[] {
  switch (event.kind) {
    case 'recoveryPoint':
      return [
        ...text(event.cutId),
        ...text(event.groupId),
        uint32(event.members.length),
        ...event.members.flatMap(text),
        ...text(event.name),
        ...text(event.requestId),
        uint64(event.wallTimeMs),
      ]
    case 'digest':
      return [
        uint32(event.extents.length),
        ...event.extents.flatMap((extent) => [
          uint64(extent.byteOffset),
          uint64(extent.byteLength),
          ...text(extent.sha256),
        ]),
      ]
    case 'geometry':
      return [uint64(event.sizeBytes)]
    case 'resyncDone':
      return []
    default:
      return unreachable(event)
  }
}

/** The chain before the first event of a generation (sequence 0): the CRC-32 of its id's 16 bytes. */
export function initialChain(generationId: string): number {
  const id = Buffer.from(generationId, 'hex')
  assert(id.byteLength === 16, 'a generation id is 32 hex digits')
  return crc32(id)
}

/** The chain after `event`, which has the number `sequence`, given the chain before it (S1, C1). */
export function advanceChain(
  chain: number,
  numbered: { readonly sequence: number; readonly event: StreamEvent },
): number {
  const { event, sequence } = numbered
  if (event.kind === 'write' || event.kind === 'zero') {
    putExtentHeader(event, sequence)
    return crc32(scratch, chain)
  }
  putHeader(event, sequence)
  const header = crc32(scratch.subarray(0, headerBytes), chain)
  return crc32(Buffer.concat(markFields(event)), header)
}
