import { Magic, requestHeaderBytes } from './constants.ts'
import { readUint64, writeUint64 } from './wire-integers.ts'

/**
 * A request header of the transmission phase. The cookie is opaque to the server, so it stays two 32-bit
 * words and no BigInt is made per request. Offset and length are bytes.
 */
export interface RequestHeader {
  readonly commandFlags: number
  readonly type: number
  readonly cookieHigh: number
  readonly cookieLow: number
  /** Inexact above 2^53, but then still above 2^53. */
  readonly byteOffset: number
  readonly byteLength: number
}

/** C: 28 bytes; the payload of a WRITE follows. */
export function encodeRequestHeader(header: RequestHeader): Buffer {
  const message = Buffer.allocUnsafe(requestHeaderBytes)
  message.writeUInt32BE(Magic.request, 0)
  message.writeUInt16BE(header.commandFlags, 4)
  message.writeUInt16BE(header.type, 6)
  message.writeUInt32BE(header.cookieHigh, 8)
  message.writeUInt32BE(header.cookieLow, 12)
  writeUint64(message, header.byteOffset, 16)
  message.writeUInt32BE(header.byteLength, 24)
  return message
}

/** Reads the 28 bytes at `at`; undefined on a wrong magic, after which nothing in the stream can be trusted. */
export function decodeRequestHeader(bytes: Buffer, at: number): RequestHeader | undefined {
  if (bytes.readUInt32BE(at) !== Magic.request) return undefined
  return {
    commandFlags: bytes.readUInt16BE(at + 4),
    type: bytes.readUInt16BE(at + 6),
    cookieHigh: bytes.readUInt32BE(at + 8),
    cookieLow: bytes.readUInt32BE(at + 12),
    byteOffset: readUint64(bytes, at + 16),
    byteLength: bytes.readUInt32BE(at + 24),
  }
}
