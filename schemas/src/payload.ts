import { promisify } from 'node:util'
import {
  constants,
  crc32,
  zstdCompress,
  zstdCompressSync,
  zstdDecompress,
  zstdDecompressSync,
} from 'node:zlib'
import type { PayloadCodec, UpdateSet } from '@blockferry/disk-stream'
import { KiB, MiB } from '@blockferry/runtime'
import { fault } from './error-catalogue.ts'
import { dataBytesOf } from './update-set-codec.ts'

/*
 * The payload of an UpdateSet is compressed once, here, and nowhere else on its way (K7). The async
 * variants work in zlib's thread pool; the sync ones are for simulation, where nothing may depend on which thread is done first.
 */

export interface PackedPayload {
  readonly codec: PayloadCodec
  readonly payload: Buffer
  /** CRC-32 of `payload` as it stands here. */
  readonly payloadCrc: number
}

const compressAsync = promisify(zstdCompress)
const decompressAsync = promisify(zstdDecompress)
const params = { [constants.ZSTD_c_compressionLevel]: 1 }
/** Below this nothing is gained: a zstd frame alone takes a dozen bytes. */
const compressBytesMin = 64
/** From here on a sample decides first: data that is packed already would cost its whole length for nothing. */
const sampledBytesMin = 256 * KiB
const samplePieces = 4
const samplePieceBytes = 16 * KiB
/** Output grows by this much: zlib's own 16 KiB would collect hundreds of pieces for a set. */
const chunkBytesMax = 1 * MiB

/** Joins and packs the data extents' bytes: zstd level 1 where that saves at least 1/8, else as they are. */
export function packPayload(buffers: readonly Buffer[]): Promise<PackedPayload> {
  // Joined before the first await, so that nobody holds the pieces while the pool works.
  return packPlain(join(buffers))
}

async function packPlain(plain: Buffer): Promise<PackedPayload> {
  if (plain.length < compressBytesMin) return choose(plain, null)
  const sample = sampleOf(plain)
  if (sample !== null && !isWorthwhile(sample, await compressAsync(sample, optionsFor(sample)))) {
    return choose(plain, null)
  }
  return choose(plain, await compressAsync(plain, optionsFor(plain)))
}

/** As packPayload, on the calling thread. */
export function packPayloadSync(buffers: readonly Buffer[]): PackedPayload {
  const plain = join(buffers)
  if (plain.length < compressBytesMin) return choose(plain, null)
  const sample = sampleOf(plain)
  if (sample !== null && !isWorthwhile(sample, zstdCompressSync(sample, optionsFor(sample)))) {
    return choose(plain, null)
  }
  return choose(plain, zstdCompressSync(plain, optionsFor(plain)))
}

/** The bytes of a set's data extents; never more than they claim. Fault: PAYLOAD_UNPACK. */
export async function unpackPayload(
  set: Pick<UpdateSet, 'diskId' | 'codec' | 'extents' | 'payload'>,
): Promise<Buffer> {
  const dataBytes = dataBytesOf(set.extents)
  if (set.codec === 'none') return checked(set.diskId, { plain: set.payload, dataBytes })
  try {
    const plain = await decompressAsync(set.payload, { maxOutputLength: Math.max(1, dataBytes) })
    return checked(set.diskId, { plain, dataBytes })
  } catch (cause) {
    throw unpackFault(set.diskId, cause)
  }
}

/** As unpackPayload, on the calling thread. */
export function unpackPayloadSync(set: Pick<UpdateSet, 'diskId' | 'codec' | 'extents' | 'payload'>): Buffer {
  const dataBytes = dataBytesOf(set.extents)
  if (set.codec === 'none') return checked(set.diskId, { plain: set.payload, dataBytes })
  try {
    const plain = zstdDecompressSync(set.payload, { maxOutputLength: Math.max(1, dataBytes) })
    return checked(set.diskId, { plain, dataBytes })
  } catch (cause) {
    throw unpackFault(set.diskId, cause)
  }
}

function join(buffers: readonly Buffer[]): Buffer {
  const only = buffers[0]
  return buffers.length === 1 && only !== undefined ? only : Buffer.concat(buffers)
}

function optionsFor(plain: Buffer) {
  return { params, chunkSize: Math.min(chunkBytesMax, Math.max(4 * KiB, plain.length)) }
}

/** Pieces from all over; null when the whole is as quickly tried. */
function sampleOf(plain: Buffer): Buffer | null {
  if (plain.length < sampledBytesMin) return null
  const step = Math.floor(plain.length / samplePieces)
  const pieces = Array.from({ length: samplePieces }, (_, index) =>
    plain.subarray(index * step, index * step + samplePieceBytes),
  )
  return Buffer.concat(pieces)
}

/** K7 pays for bytes on the WAN; less than 1/8 saved is not worth the target's unpacking. */
function isWorthwhile(plain: Buffer, packed: Buffer): boolean {
  return packed.length <= plain.length - plain.length / 8
}

function choose(plain: Buffer, packed: Buffer | null): PackedPayload {
  const payload = packed !== null && isWorthwhile(plain, packed) ? packed : plain
  return { codec: payload === plain ? 'none' : 'zstd', payload, payloadCrc: crc32(payload) }
}

function checked(diskId: string, found: { plain: Buffer; dataBytes: number }): Buffer {
  if (found.plain.length === found.dataBytes) return found.plain
  throw fault(
    'PAYLOAD_UNPACK',
    `update set of ${diskId} unpacks to ${found.plain.length} bytes instead of ${found.dataBytes}`,
  )
}

function unpackFault(diskId: string, cause: unknown): Error {
  if (cause instanceof Error && 'code' in cause && cause.code === 'PAYLOAD_UNPACK') return cause
  return fault('PAYLOAD_UNPACK', `update set of ${diskId} does not unpack`, { cause })
}
