import { Magic, ReplyFlag, ReplyType, simpleReplyBytes, structuredReplyBytes } from './constants.ts'
import { writeUint64 } from './wire-integers.ts'

/** Bytes of a structured reply header and the offset of OFFSET_DATA: what precedes the data of a READ. */
export const offsetDataHeaderBytes = structuredReplyBytes + 8
/** Longest reply header written by the functions below that write in place. */
export const replyHeaderBytesMax = offsetDataHeaderBytes

export interface Cookie {
  readonly cookieHigh: number
  readonly cookieLow: number
}

/** S: simple reply; returns where the next bytes go. */
export function writeSimpleReply(into: Buffer, at: number, reply: Cookie & { errno: number }): number {
  into.writeUInt32BE(Magic.simpleReply, at)
  into.writeUInt32BE(reply.errno, at + 4)
  into.writeUInt32BE(reply.cookieHigh, at + 8)
  into.writeUInt32BE(reply.cookieLow, at + 12)
  return at + simpleReplyBytes
}

export interface ChunkHeader extends Cookie {
  readonly flags: number
  readonly type: number
  readonly payloadBytes: number
}

/** S: structured reply chunk header; returns where the next bytes go. */
export function writeChunkHeader(into: Buffer, at: number, chunk: ChunkHeader): number {
  into.writeUInt32BE(Magic.structuredReply, at)
  into.writeUInt16BE(chunk.flags, at + 4)
  into.writeUInt16BE(chunk.type, at + 6)
  into.writeUInt32BE(chunk.cookieHigh, at + 8)
  into.writeUInt32BE(chunk.cookieLow, at + 12)
  into.writeUInt32BE(chunk.payloadBytes, at + 16)
  return at + structuredReplyBytes
}

/** NBD_REPLY_TYPE_OFFSET_DATA with DONE: one chunk answers a READ whole, so NBD_CMD_FLAG_DF always holds. */
export function writeOffsetDataHeader(
  into: Buffer,
  at: number,
  reply: Cookie & { byteOffset: number; byteLength: number },
): number {
  const after = writeChunkHeader(into, at, {
    cookieHigh: reply.cookieHigh,
    cookieLow: reply.cookieLow,
    flags: ReplyFlag.DONE,
    type: ReplyType.OFFSET_DATA,
    payloadBytes: 8 + reply.byteLength,
  })
  return writeUint64(into, reply.byteOffset, after)
}

/** NBD_REPLY_TYPE_ERROR, or ERROR_OFFSET when `byteOffset` says where; with a message for humans. */
export function encodeErrorChunk(
  reply: Cookie & { errno: number; message: string; byteOffset?: number },
): Buffer {
  const message = Buffer.from(reply.message, 'utf8').subarray(0, 4096)
  const located = reply.byteOffset !== undefined
  const payloadBytes = 6 + message.length + (located ? 8 : 0)
  const bytes = Buffer.allocUnsafe(structuredReplyBytes + payloadBytes)
  const at = writeChunkHeader(bytes, 0, {
    cookieHigh: reply.cookieHigh,
    cookieLow: reply.cookieLow,
    flags: ReplyFlag.DONE,
    type: located ? ReplyType.ERROR_OFFSET : ReplyType.ERROR,
    payloadBytes,
  })
  bytes.writeUInt32BE(reply.errno, at)
  bytes.writeUInt16BE(message.length, at + 4)
  message.copy(bytes, at + 6)
  if (reply.byteOffset !== undefined) writeUint64(bytes, reply.byteOffset, at + 6 + message.length)
  return bytes
}

export interface StatusDescriptor {
  readonly byteLength: number
  readonly status: number
}

/** NBD_REPLY_TYPE_BLOCK_STATUS with DONE: one context, one chunk. */
export function encodeBlockStatusChunk(
  reply: Cookie & { contextId: number; descriptors: readonly StatusDescriptor[] },
): Buffer {
  const payloadBytes = 4 + 8 * reply.descriptors.length
  const bytes = Buffer.allocUnsafe(structuredReplyBytes + payloadBytes)
  let at = writeChunkHeader(bytes, 0, {
    cookieHigh: reply.cookieHigh,
    cookieLow: reply.cookieLow,
    flags: ReplyFlag.DONE,
    type: ReplyType.BLOCK_STATUS,
    payloadBytes,
  })
  at = bytes.writeUInt32BE(reply.contextId, at)
  for (const descriptor of reply.descriptors) {
    at = bytes.writeUInt32BE(descriptor.byteLength, at)
    at = bytes.writeUInt32BE(descriptor.status, at)
  }
  return bytes
}
