import { ByteQueue } from './byte-queue.ts'
import { Magic, ReplyFlag, ReplyType, simpleReplyBytes, structuredReplyBytes } from './constants.ts'
import type { Cookie } from './reply-codec.ts'
import { readUint64 } from './wire-integers.ts'

/** One reply, or one chunk of a structured reply, as the client sees it. */
export type ReplyPart = Cookie & {
  /** True: nothing more comes for this cookie. */
  readonly done: boolean
} & (
    | { readonly kind: 'ok' }
    | { readonly kind: 'error'; readonly errno: number; readonly message: string }
    | { readonly kind: 'data'; readonly byteOffset: number; readonly data: Buffer }
    | { readonly kind: 'hole'; readonly byteOffset: number; readonly byteLength: number }
    | { readonly kind: 'status'; readonly descriptors: readonly { byteLength: number; status: number }[] }
    /** A simple reply's data: it starts at the request's own offset. */
    | { readonly kind: 'simpleData'; readonly data: Buffer }
  )

export interface ReplyParserOptions {
  /** Bytes that follow a successful simple reply: the length of the READ with this cookie, 0 for other commands. */
  readonly simpleDataBytesOf: (cookie: Cookie) => number
  /** Longest payload of a chunk; a longer one is a violation. */
  readonly chunkBytesMax: number
  readonly part: (part: ReplyPart) => void
}

/** Bytes → replies. `push` returns undefined, or why the stream cannot be trusted any more. */
export class ReplyParser {
  readonly #options: ReplyParserOptions
  readonly #received = new ByteQueue()

  constructor(options: ReplyParserOptions) {
    this.#options = options
  }

  push(chunk: Buffer): string | undefined {
    this.#received.append(chunk)
    for (;;) {
      const outcome = this.#step()
      if (outcome === 'incomplete') return undefined
      if (outcome !== 'parsed') return outcome
    }
  }

  #step(): string {
    const magic = this.#received.peek(4)?.readUInt32BE(0)
    if (magic === undefined) return 'incomplete'
    if (magic === Magic.simpleReply) return this.#simple()
    if (magic === Magic.structuredReply) return this.#structured()
    return `reply magic 0x${magic.toString(16)}`
  }

  #simple(): string {
    const header = this.#received.peek(simpleReplyBytes)
    if (header === undefined) return 'incomplete'
    const errno = header.readUInt32BE(4)
    const cookie = { cookieHigh: header.readUInt32BE(8), cookieLow: header.readUInt32BE(12) }
    const dataBytes = errno === 0 ? this.#options.simpleDataBytesOf(cookie) : 0
    const data = this.#received.take(simpleReplyBytes + dataBytes)?.subarray(simpleReplyBytes)
    if (data === undefined) return 'incomplete'
    if (errno !== 0) this.#options.part({ ...cookie, done: true, kind: 'error', errno, message: '' })
    else if (dataBytes > 0) this.#options.part({ ...cookie, done: true, kind: 'simpleData', data })
    else this.#options.part({ ...cookie, done: true, kind: 'ok' })
    return 'parsed'
  }

  #structured(): string {
    const header = this.#received.peek(structuredReplyBytes)
    if (header === undefined) return 'incomplete'
    const type = header.readUInt16BE(6)
    const payloadBytes = header.readUInt32BE(16)
    if (payloadBytes > this.#options.chunkBytesMax) return `a chunk of ${payloadBytes} bytes`
    const done = (header.readUInt16BE(4) & ReplyFlag.DONE) !== 0
    const reply = { cookieHigh: header.readUInt32BE(8), cookieLow: header.readUInt32BE(12), done }
    const payload = this.#received.take(structuredReplyBytes + payloadBytes)?.subarray(structuredReplyBytes)
    if (payload === undefined) return 'incomplete'
    const part = decodeChunk(type, payload, reply)
    if (typeof part === 'string') return part
    this.#options.part(part)
    return 'parsed'
  }
}

function decodeChunk(type: number, payload: Buffer, reply: Cookie & { done: boolean }): ReplyPart | string {
  const { length } = payload
  if (type === ReplyType.NONE && length === 0 && reply.done) return { ...reply, kind: 'ok' }
  if (type === ReplyType.OFFSET_DATA && length > 8) {
    return { ...reply, kind: 'data', byteOffset: readUint64(payload, 0), data: payload.subarray(8) }
  }
  if (type === ReplyType.OFFSET_HOLE && length === 12) {
    const byteLength = payload.readUInt32BE(8)
    return { ...reply, kind: 'hole', byteOffset: readUint64(payload, 0), byteLength }
  }
  if (type === ReplyType.BLOCK_STATUS && length >= 12 && (length - 4) % 8 === 0) {
    const descriptors = Array.from({ length: (length - 4) / 8 }, (_, index) => ({
      byteLength: payload.readUInt32BE(4 + 8 * index),
      status: payload.readUInt32BE(8 + 8 * index),
    }))
    return { ...reply, kind: 'status', descriptors }
  }
  // "All error chunk types have bit 15 set, and begin with the same fields as NBD_REPLY_TYPE_ERROR."
  if ((type & 0x8000) !== 0 && length >= 6 && payload.readUInt16BE(4) <= length - 6) {
    const message = payload.toString('utf8', 6, 6 + payload.readUInt16BE(4))
    return { ...reply, kind: 'error', errno: payload.readUInt32BE(0), message }
  }
  return `chunk type ${type} with ${length} bytes`
}
