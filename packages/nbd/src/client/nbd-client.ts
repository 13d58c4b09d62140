import type { Socket } from 'node:net'
import { connect } from 'node:net'

import { assert } from '@blockferry/runtime'

import { fault } from '../error-catalogue.ts'
import { AllocationState, Command, CommandFlag, TransmissionFlag } from '../protocol/constants.ts'
import type { ReplyPart } from '../protocol/reply-parser.ts'
import { ReplyParser } from '../protocol/reply-parser.ts'
import { encodeRequestHeader } from '../protocol/request-codec.ts'
import type { NbdAllocation, NbdExtent, NbdWriteOptions, NbdZeroOptions } from '../server/nbd-export.ts'
import type { Offered } from './negotiate.ts'
import { ClientNegotiation } from './negotiate.ts'
import type { NbdDisk, NbdTarget } from './nbd-disk.ts'
import { Outstanding } from './outstanding.ts'

const connectDeadlineDefaultMs = 10_000

/** One connection to an NBD server. */
export interface NbdClient extends NbdDisk {
  /** Resolves, with the reason, once the connection is gone, however it ended. */
  readonly closed: Promise<Error>
  /** Transmission flags, NBD_FLAG_…. */
  readonly transmissionFlags: number
  readonly structuredReplies: boolean
  readonly payloadBytesMax: number
  /** Cuts the connection without a word, as a killed client does. */
  destroy(): void
}

/**
 * Connects and negotiates: structured replies, base:allocation, the export's size.
 * @throws NBD_CONNECT_FAILED, NBD_EXPORT_REFUSED, NBD_PROTOCOL_VIOLATION, NBD_CONNECTION_LOST
 */
export async function connectNbd(
  target: NbdTarget & { readonly connectDeadlineMs?: number },
): Promise<NbdClient> {
  const socket = 'path' in target ? connect({ path: target.path }) : connect({ ...target, noDelay: true })
  const deadlineMs = target.connectDeadlineMs ?? connectDeadlineDefaultMs
  return new Promise((resolve, reject) => {
    const refuse = (error: Error): void => {
      clearTimeout(deadline)
      socket.destroy()
      reject(error)
    }
    const deadline = setTimeout(
      () => refuse(connectFailed(target, `no answer in ${deadlineMs} ms`)),
      deadlineMs,
    )
    const negotiation = new ClientNegotiation(target.exportName, (bytes) => socket.write(bytes))
    const lost = (): void => refuse(connectionLost('during negotiation'))
    const failed = (error: Error): void => refuse(connectFailed(target, error.message, error))
    const received = (chunk: Buffer): void => {
      try {
        const entered = negotiation.push(chunk)
        if (entered === undefined) return
        clearTimeout(deadline)
        socket.off('data', received).off('close', lost).off('error', failed)
        resolve(new SocketNbdClient(socket, entered.offered, entered.rest))
      } catch (error) {
        refuse(error as Error)
      }
    }
    socket.on('data', received).on('close', lost).on('error', failed)
  })
}

class SocketNbdClient implements NbdClient {
  readonly sizeBytes: number
  readonly readOnly: boolean
  readonly transmissionFlags: number
  readonly structuredReplies: boolean
  readonly payloadBytesMax: number
  readonly closed: Promise<Error>
  readonly #socket: Socket
  readonly #allocationContext: boolean
  readonly #outstanding = new Map<number, Outstanding>()
  readonly #parser: ReplyParser
  #lastCookie = 0
  #corked = false
  #lost: Error | undefined

  constructor(socket: Socket, offered: Offered, rest: Buffer) {
    this.#socket = socket
    this.sizeBytes = offered.sizeBytes
    this.readOnly = (offered.transmissionFlags & TransmissionFlag.READ_ONLY) !== 0
    this.transmissionFlags = offered.transmissionFlags
    this.structuredReplies = offered.structuredReplies
    this.payloadBytesMax = offered.payloadBytesMax
    this.#allocationContext = offered.allocationContext
    this.#parser = new ReplyParser({
      simpleDataBytesOf: (cookie) => this.#outstanding.get(cookie.cookieLow)?.readBytes ?? 0,
      chunkBytesMax: offered.payloadBytesMax + 8 * 1024 * 1024,
      part: (part) => this.#answered(part),
    })
    let gone: (error: Error) => void = () => undefined
    this.closed = new Promise((resolve) => (gone = resolve))
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('error', (error) => this.#lose(connectionLost(error.message, error)))
    socket.on('close', () => {
      this.#lose(connectionLost('closed'))
      gone(this.#lost ?? connectionLost('closed'))
    })
    if (rest.length > 0) this.#received(rest)
  }

  async read(byteOffset: number, byteLength: number): Promise<Buffer> {
    const outstanding = this.#request({ type: Command.READ, byteOffset, byteLength })
    await outstanding.settled
    return outstanding.data()
  }

  async write(byteOffset: number, data: Buffer, options: Partial<NbdWriteOptions> = {}): Promise<void> {
    const header = { type: Command.WRITE, byteOffset, byteLength: data.length, flags: fuaFlag(options) }
    await this.#request(header, data).settled
  }

  async flush(): Promise<void> {
    await this.#request({ type: Command.FLUSH, byteOffset: 0, byteLength: 0 }).settled
  }

  async trim(extent: NbdExtent, options: Partial<NbdWriteOptions> = {}): Promise<void> {
    await this.#request({ type: Command.TRIM, ...extent, flags: fuaFlag(options) }).settled
  }

  async writeZeroes(extent: NbdExtent, options: Partial<NbdZeroOptions> = {}): Promise<void> {
    const noHole = options.mayUnmap === false ? CommandFlag.NO_HOLE : 0
    const fast = options.fast === true ? CommandFlag.FAST_ZERO : 0
    const flags = fuaFlag(options) | noHole | fast
    await this.#request({ type: Command.WRITE_ZEROES, ...extent, flags }).settled
  }

  async cache(extent: NbdExtent): Promise<void> {
    await this.#request({ type: Command.CACHE, ...extent }).settled
  }

  async blockStatus(extent: NbdExtent, options: { one?: boolean } = {}): Promise<readonly NbdAllocation[]> {
    assert(this.#allocationContext, 'block status needs a server with base:allocation')
    const flags = options.one === true ? CommandFlag.REQ_ONE : 0
    const outstanding = this.#request({ type: Command.BLOCK_STATUS, ...extent, flags })
    await outstanding.settled
    let { byteOffset } = extent
    return outstanding.descriptors.map(({ byteLength, status }) => {
      const allocation = { byteOffset, byteLength, kind: kindOf(status) }
      byteOffset += byteLength
      return allocation
    })
  }

  async disconnect(): Promise<void> {
    if (this.#lost === undefined) {
      const goodbye = { commandFlags: 0, type: Command.DISC, cookieHigh: 0, cookieLow: 0 }
      this.#socket.end(encodeRequestHeader({ ...goodbye, byteOffset: 0, byteLength: 0 }))
      this.#lose(connectionLost('disconnected'))
    }
    await this.closed
  }

  destroy(): void {
    this.#socket.destroy()
    this.#lose(connectionLost('destroyed'))
  }

  #request(
    header: { type: number; byteOffset: number; byteLength: number; flags?: number },
    payload?: Buffer,
  ): Outstanding {
    const outstanding = new Outstanding(header)
    if (this.#lost !== undefined) {
      outstanding.reject(this.#lost)
      return outstanding
    }
    this.#lastCookie = (this.#lastCookie + 1) >>> 0
    const { type, byteOffset, byteLength } = header
    const cookie = { cookieHigh: 0, cookieLow: this.#lastCookie }
    this.#outstanding.set(this.#lastCookie, outstanding)
    this.#cork()
    const commandFlags = header.flags ?? 0
    this.#socket.write(encodeRequestHeader({ commandFlags, type, ...cookie, byteOffset, byteLength }))
    if (payload !== undefined && payload.length > 0) this.#socket.write(payload)
    return outstanding
  }

  /** All requests of one tick leave in one writev. */
  #cork(): void {
    if (this.#corked) return
    this.#corked = true
    this.#socket.cork()
    process.nextTick(() => {
      this.#corked = false
      this.#socket.uncork()
    })
  }

  #received(chunk: Buffer): void {
    if (this.#lost !== undefined) return
    const violation = this.#parser.push(chunk)
    if (violation !== undefined) this.#violated(violation)
  }

  #answered(part: ReplyPart): void {
    const outstanding = part.cookieHigh === 0 ? this.#outstanding.get(part.cookieLow) : undefined
    if (outstanding === undefined) {
      this.#violated('a reply to no request')
      return
    }
    if (part.done) this.#outstanding.delete(part.cookieLow)
    const violation = outstanding.take(part)
    if (violation !== undefined) this.#violated(violation)
  }

  #violated(why: string): void {
    this.#lose(fault('NBD_PROTOCOL_VIOLATION', `the NBD server broke the protocol: ${why}`))
    this.#socket.destroy()
  }

  #lose(error: Error): void {
    if (this.#lost !== undefined) return
    this.#lost = error
    for (const outstanding of this.#outstanding.values()) outstanding.reject(error)
    this.#outstanding.clear()
  }
}

function fuaFlag(options: Partial<NbdWriteOptions>): number {
  return options.fua === true ? CommandFlag.FUA : 0
}

function kindOf(status: number): NbdAllocation['kind'] {
  if ((status & AllocationState.ZERO) === 0) return 'data'
  return (status & AllocationState.HOLE) === 0 ? 'zero' : 'hole'
}

function connectionLost(why: string, cause?: Error): Error {
  return fault('NBD_CONNECTION_LOST', `the NBD connection is gone: ${why}`, { cause })
}

function connectFailed(target: NbdTarget, why: string, cause?: Error): Error {
  const address = 'path' in target ? target.path : `${target.host}:${target.port}`
  return fault('NBD_CONNECT_FAILED', `cannot connect to ${address}: ${why}`, { cause })
}
