import { assert } from '@blockferry/runtime'

import { Command, requestHeaderBytes } from './constants.ts'
import { PayloadSlab } from './payload-slab.ts'
import type { RequestHeader } from './request-codec.ts'
import { decodeRequestHeader } from './request-codec.ts'

/**
 * Invariant P1: beyond the chunk it was given last, the parser holds at most one header and the payload
 * it is reading; it allocates a payload only after `admit` said 'take'.
 * Invariant P2: after 'wait' nothing further is consumed until `resume`; after 'stop' never again.
 * Invariant P3: requests come out in the order and with the bytes they went in, however they were cut.
 */
export interface RequestSink {
  /**
   * Decides over a request whose header is complete: `take` it (payload and all), `skip` its payload
   * unread (the sink answers it itself), `wait` (asked again at `resume`), or `stop`: the stream is over.
   */
  admit(header: RequestHeader): 'take' | 'skip' | 'wait' | 'stop'
  /** A taken request; `payload` is null but for WRITE. A payload that arrived in one chunk is a view into it. */
  accept(header: RequestHeader, payload: Buffer | null): void
  /** The magic was wrong. Nothing more is consumed. */
  rejectMagic(): void
}

const nothing = Buffer.alloc(0)

/** Bytes → requests, incrementally, without copying a payload that came in one piece. */
export class RequestParser {
  readonly #sink: RequestSink
  readonly #partialHeader = Buffer.allocUnsafeSlow(requestHeaderBytes)
  readonly #slab = new PayloadSlab()
  #partialHeaderBytes = 0
  #header: RequestHeader | null = null
  #payload: Buffer | null = null
  #payloadBytes = 0
  #skipBytes = 0
  #chunk: Buffer | null = null
  #at = 0
  #state: 'reading' | 'waiting' | 'stopped' = 'reading'

  constructor(sink: RequestSink) {
    this.#sink = sink
  }

  /** True while the sink said 'wait': stop reading the socket. */
  get waiting(): boolean {
    return this.#state === 'waiting'
  }

  /** True after 'stop' or a wrong magic. */
  get stopped(): boolean {
    return this.#state === 'stopped'
  }

  /** True in the middle of a request: silence now has a deadline. */
  get midRequest(): boolean {
    return (
      this.#state === 'reading' &&
      (this.#partialHeaderBytes > 0 || this.#payload !== null || this.#skipBytes > 0)
    )
  }

  /** Consumes a chunk. While waiting, at most one chunk may be pushed, and it is kept for `resume`. */
  push(chunk: Buffer): void {
    if (this.#state === 'stopped') return
    if (this.#state === 'waiting') {
      const left = this.#chunk?.subarray(this.#at)
      this.#chunk = left === undefined ? chunk : Buffer.concat([left, chunk])
      this.#at = 0
      return
    }
    this.#chunk = chunk
    this.#at = 0
    this.#run()
  }

  /** Asks again for the header that had to wait, then goes on with what was left. */
  resume(): void {
    if (this.#state !== 'waiting') return
    this.#state = 'reading'
    const header = this.#header
    assert(header !== null, 'P2: only a complete header waits')
    this.#header = null
    this.#decide(header)
    this.#run()
  }

  #run(): void {
    while (this.#state === 'reading' && this.#chunk !== null) {
      if (this.#skipBytes > 0) this.#skip()
      else if (this.#payload !== null) this.#fillPayload()
      else this.#readHeader()
      if (this.#chunk !== null && this.#at >= this.#chunk.length) this.#drop()
    }
    if (this.#state === 'stopped') this.#drop()
  }

  /** With its place: a request decided later must not be measured from it. */
  #drop(): void {
    this.#chunk = null
    this.#at = 0
  }

  #readHeader(): void {
    const chunk = this.#chunk as Buffer
    const available = chunk.length - this.#at
    if (this.#partialHeaderBytes === 0 && available >= requestHeaderBytes) {
      const at = this.#at
      this.#at += requestHeaderBytes
      this.#decode(chunk, at)
      return
    }
    const taken = Math.min(requestHeaderBytes - this.#partialHeaderBytes, available)
    chunk.copy(this.#partialHeader, this.#partialHeaderBytes, this.#at, this.#at + taken)
    this.#partialHeaderBytes += taken
    this.#at += taken
    if (this.#partialHeaderBytes < requestHeaderBytes) return
    this.#partialHeaderBytes = 0
    this.#decode(this.#partialHeader, 0)
  }

  #decode(bytes: Buffer, at: number): void {
    const header = decodeRequestHeader(bytes, at)
    if (header === undefined) {
      this.#state = 'stopped'
      this.#sink.rejectMagic()
      return
    }
    this.#decide(header)
  }

  #decide(header: RequestHeader): void {
    const payloadBytes = header.type === Command.WRITE ? header.byteLength : 0
    switch (this.#sink.admit(header)) {
      case 'take':
        this.#take(header, payloadBytes)
        break
      case 'skip':
        this.#skipBytes = payloadBytes
        break
      case 'wait':
        this.#header = header
        this.#state = 'waiting'
        break
      case 'stop':
        this.#state = 'stopped'
        break
    }
  }

  #take(header: RequestHeader, payloadBytes: number): void {
    if (header.type !== Command.WRITE) {
      this.#sink.accept(header, null)
      return
    }
    const chunk = this.#chunk ?? nothing
    if (chunk.length - this.#at >= payloadBytes) {
      const payload = chunk.subarray(this.#at, this.#at + payloadBytes)
      this.#at += payloadBytes
      this.#sink.accept(header, payload)
      return
    }
    this.#header = header
    this.#payload = this.#slab.allocate(payloadBytes)
    this.#payloadBytes = 0
  }

  #fillPayload(): void {
    const chunk = this.#chunk as Buffer
    const payload = this.#payload as Buffer
    const taken = Math.min(payload.length - this.#payloadBytes, chunk.length - this.#at)
    chunk.copy(payload, this.#payloadBytes, this.#at, this.#at + taken)
    this.#payloadBytes += taken
    this.#at += taken
    if (this.#payloadBytes < payload.length) return
    const header = this.#header as RequestHeader
    this.#header = null
    this.#payload = null
    this.#sink.accept(header, payload)
  }

  #skip(): void {
    const chunk = this.#chunk as Buffer
    const skipped = Math.min(this.#skipBytes, chunk.length - this.#at)
    this.#skipBytes -= skipped
    this.#at += skipped
  }
}
