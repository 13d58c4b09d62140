import { MiB } from '@blockferry/runtime'

import { ReplyFlag, ReplyType } from '../protocol/constants.ts'
import type { Cookie } from '../protocol/reply-codec.ts'
import {
  replyHeaderBytesMax,
  writeChunkHeader,
  writeOffsetDataHeader,
  writeSimpleReply,
} from '../protocol/reply-codec.ts'

/** The part of a socket that replies need. */
export interface ReplySocket {
  readonly writableLength: number
  cork(): void
  uncork(): void
  write(bytes: Buffer, written?: () => void): boolean
}

const slabBytes = 16 * 1024
/** Longer data is handed over in pieces, one at a time, so that a slow reader's progress can be seen. */
const pieceBytes = 1 * MiB

/**
 * Collects the replies of one turn of the event loop and hands them to the socket in one writev. Reply
 * headers lie one after another in a slab, so that any number of write replies is one buffer; the data
 * of a READ goes out as it is, uncopied.
 */
export class ReplyWriter {
  readonly #socket: ReplySocket
  readonly #flushed: () => void
  #slab: Buffer = Buffer.allocUnsafeSlow(slabBytes)
  #slabAt = 0
  /** Headers from here to #slabAt are not in #segments yet. */
  #slabFrom = 0
  #segments: Buffer[] = []
  #written: (() => void)[] = []
  #scheduled = false
  #closed = false

  /** `flushed` runs after every hand-over: time to look at the socket's backlog. */
  constructor(socket: ReplySocket, flushed: () => void) {
    this.#socket = socket
    this.#flushed = flushed
  }

  /** True when no reply waits for this turn's end. */
  get idle(): boolean {
    return !this.#scheduled
  }

  /** A simple reply without data. */
  simple(cookie: Cookie, errno: number): void {
    this.#reserve()
    this.#slabAt = writeSimpleReply(this.#slab, this.#slabAt, {
      errno,
      cookieHigh: cookie.cookieHigh,
      cookieLow: cookie.cookieLow,
    })
  }

  /** NBD_REPLY_TYPE_NONE: the success of a READ of nothing. */
  none(cookie: Cookie): void {
    this.#reserve()
    this.#slabAt = writeChunkHeader(this.#slab, this.#slabAt, {
      cookieHigh: cookie.cookieHigh,
      cookieLow: cookie.cookieLow,
      flags: ReplyFlag.DONE,
      type: ReplyType.NONE,
      payloadBytes: 0,
    })
  }

  /** NBD_REPLY_TYPE_OFFSET_DATA; `written` runs once the socket let go of the data. */
  offsetData(
    reply: Cookie & { byteOffset: number; byteLength: number },
    data: Buffer | readonly Buffer[],
    written: () => void,
  ): void {
    this.#reserve()
    this.#slabAt = writeOffsetDataHeader(this.#slab, this.#slabAt, reply)
    this.#data(data, written)
  }

  /** A simple reply with the data of a READ. */
  simpleData(cookie: Cookie, data: Buffer | readonly Buffer[], written: () => void): void {
    this.simple(cookie, 0)
    this.#data(data, written)
  }

  /** Any other message. */
  message(bytes: Buffer): void {
    this.#reserve()
    this.#cutSlab()
    this.#segments.push(bytes)
  }

  /** Hands over now what was collected. */
  flush(): void {
    this.#scheduled = false
    if (this.#closed) return
    this.#cutSlab()
    const segments = this.#segments
    const written = this.#written
    this.#segments = []
    this.#written = []
    if (segments.length > 0) {
      const done = written.length === 0 ? undefined : () => runAll(written)
      send(this.#socket, segments, done)
    }
    this.#flushed()
  }

  /** The socket is gone: what was not handed over never will be, but its owners are told. */
  close(): void {
    this.#closed = true
    this.#segments = []
    runAll(this.#written)
    this.#written = []
  }

  #data(data: Buffer | readonly Buffer[], written: () => void): void {
    this.#cutSlab()
    if (Buffer.isBuffer(data)) this.#segments.push(data)
    else for (const part of data) this.#segments.push(part)
    this.#written.push(written)
  }

  #reserve(): void {
    if (!this.#scheduled) {
      this.#scheduled = true
      // The check phase follows every completion and every received chunk of this turn.
      setImmediate(() => this.flush())
    }
    if (this.#slabAt + replyHeaderBytesMax <= this.#slab.length) return
    this.#cutSlab()
    this.#slab = Buffer.allocUnsafeSlow(slabBytes)
    this.#slabAt = 0
    this.#slabFrom = 0
  }

  #cutSlab(): void {
    if (this.#slabFrom === this.#slabAt) return
    this.#segments.push(this.#slab.subarray(this.#slabFrom, this.#slabAt))
    this.#slabFrom = this.#slabAt
  }
}

function send(socket: ReplySocket, segments: readonly Buffer[], done: (() => void) | undefined): void {
  const last = segments.length - 1
  if (last > 0) socket.cork()
  let corked = last > 0
  segments.forEach((segment, index) => {
    if (segment.length > pieceBytes && corked) {
      socket.uncork()
      corked = false
    }
    sendPieces(socket, segment, index === last ? done : undefined)
  })
  if (corked) socket.uncork()
}

function sendPieces(socket: ReplySocket, segment: Buffer, done: (() => void) | undefined): void {
  let at = 0
  while (segment.length - at > pieceBytes) {
    socket.write(segment.subarray(at, at + pieceBytes))
    at += pieceBytes
  }
  socket.write(at === 0 ? segment : segment.subarray(at), done)
}

function runAll(callbacks: readonly (() => void)[]): void {
  for (const callback of callbacks) callback()
}
