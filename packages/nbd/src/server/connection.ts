import type { Socket } from 'node:net'

import { encodeServerGreeting } from '../protocol/option-codec.ts'
import type { BudgetAccount, InFlightBudget } from './in-flight-budget.ts'
import type { NbdServerLimits } from './limits.ts'
import type { NbdExports } from './nbd-export.ts'
import type { NbdCloseReason, NbdObserver } from './nbd-observer.ts'
import type { Negotiated } from './negotiation.ts'
import { Negotiation } from './negotiation.ts'
import { ReplyWriter } from './reply-writer.ts'
import { Transmission } from './transmission.ts'

export interface ConnectionOptions {
  readonly connectionId: number
  readonly socket: Socket
  readonly exports: NbdExports
  readonly limits: NbdServerLimits
  readonly budget: InFlightBudget
  /** The budget account of an export, shared by its connections. */
  readonly accountOf: (exportName: string) => BudgetAccount
  readonly observer: NbdObserver
  readonly closed: (connection: Connection) => void
}

/**
 * One client: its socket, its phase, its deadlines.
 *
 *   handshake ──GO──► transmission ──DISC, end, shutdown──► draining ──nothing in flight──► closed
 *       └───────────────── garbage, deadline, error ───────────────────────────────────────►┘
 */
export class Connection {
  readonly #options: ConnectionOptions
  readonly #socket: Socket
  readonly #replies: ReplyWriter
  readonly #negotiation: Negotiation
  #transmission: Transmission | undefined
  #shuttingDown = false
  /** Why it drains; undefined while the client may still send requests. */
  #draining: NbdCloseReason | undefined
  #closed = false
  #openedMs = 0
  #heardSinceSweep = true
  #quietSinceMs = 0
  /** The admission whose payload the last sweep saw coming, and the first sweep that saw it. */
  #receiving = 0
  #receivingSinceMs = 0
  #sentBytes = 0
  #stuckSinceMs: number | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#socket = options.socket
    this.#replies = new ReplyWriter(options.socket, () => this.#changed())
    this.#negotiation = new Negotiation({
      exports: options.exports,
      limits: options.limits,
      reply: (bytes) => this.#replies.message(bytes),
      shuttingDown: () => this.#shuttingDown,
    })
  }

  get connectionId(): number {
    return this.#options.connectionId
  }

  start(nowMs: number): void {
    this.#openedMs = nowMs
    const socket = this.#socket
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('end', () => this.#drain('clientVanished'))
    socket.on('drain', () => this.#changed())
    // 'close' always follows 'error'.
    socket.on('error', () => this.close('clientVanished'))
    socket.on('close', () => this.close('clientVanished'))
    this.#replies.message(encodeServerGreeting())
  }

  /** Answers what comes with a shutdown error, and closes once nothing is in flight. */
  shutDown(): void {
    this.#shuttingDown = true
    this.#transmission?.shutDown()
    if (this.#transmission === undefined) this.close('shutdown')
    else this.#drain('shutdown')
  }

  /** Enforces the deadlines. Called about once a second for every connection, so that no request needs a timer. */
  sweep(nowMs: number): void {
    if (this.#heardSinceSweep) {
      this.#heardSinceSweep = false
      this.#quietSinceMs = nowMs
    }
    const { limits } = this.#options
    const transmission = this.#transmission
    if (transmission === undefined) {
      if (nowMs - this.#openedMs >= limits.handshakeDeadlineMs) this.close('handshakeDeadline')
    } else if (transmission.parser.midRequest && !this.#socket.isPaused()) {
      if (nowMs - this.#quietSinceMs >= limits.requestDeadlineMs) this.close('requestDeadline')
    }
    if (!this.#closed && this.#payloadOverdue(nowMs)) this.close('payloadDeadline')
    if (!this.#closed && this.#repliesStuck(nowMs)) this.close('replyDeadline')
  }

  /** At once; what is in flight finishes unheard. */
  close(reason: NbdCloseReason): void {
    if (this.#closed) return
    this.#closed = true
    this.#transmission?.close()
    this.#replies.close()
    this.#socket.destroy()
    this.#options.observer.connectionClosed?.(this.connectionId, this.#draining ?? reason)
    this.#options.closed(this)
  }

  #received(chunk: Buffer): void {
    this.#heardSinceSweep = true
    if (this.#draining !== undefined && this.#draining !== 'shutdown') return
    const transmission = this.#transmission
    if (transmission === undefined) this.#negotiate(chunk)
    else transmission.parser.push(chunk)
    this.#changed()
  }

  #negotiate(chunk: Buffer): void {
    const outcome = this.#negotiation.push(chunk)
    if (outcome.kind === 'transmission') this.#enter(outcome.negotiated, outcome.rest)
    else if (outcome.kind === 'close') this.#drain(outcome.reason)
  }

  #enter(negotiated: Negotiated, rest: Buffer): void {
    const { connectionId, limits, budget, observer, accountOf } = this.#options
    const transmission = new Transmission({
      negotiated,
      limits,
      budget,
      observer,
      account: accountOf(negotiated.disk.name),
      replies: this.#replies,
      ended: (reason) => this.#drain(reason),
      changed: () => this.#changed(),
    })
    this.#transmission = transmission
    observer.exportEntered?.(connectionId, negotiated.disk.name)
    if (rest.length > 0) transmission.parser.push(rest)
  }

  #drain(reason: NbdCloseReason): void {
    this.#draining ??= reason
    this.#changed()
  }

  /** Something moved: read on or not, and close when drained. */
  #changed(): void {
    if (this.#closed) return
    const backlogged = this.#socket.writableLength > this.#options.limits.replyBytesMax
    const paused = backlogged || this.#transmission?.parser.waiting === true
    if (paused !== this.#socket.isPaused()) {
      // Our own pause is no silence of the client's.
      this.#heardSinceSweep = true
      if (paused) this.#socket.pause()
      else this.#socket.resume()
    }
    if (this.#draining === undefined || !this.#replies.idle) return
    if ((this.#transmission?.inFlight ?? 0) > 0 || this.#transmission?.parser.waiting === true) return
    if (this.#socket.writableLength === 0) this.close(this.#draining)
  }

  /** Our own pauses count: a client that reads its replies slowly enough could stretch them for ever. */
  #payloadOverdue(nowMs: number): boolean {
    const receiving = this.#transmission?.receiving ?? 0
    if (receiving !== this.#receiving) this.#receivingSinceMs = nowMs
    this.#receiving = receiving
    return receiving !== 0 && nowMs - this.#receivingSinceMs >= this.#options.limits.payloadDeadlineMs
  }

  #repliesStuck(nowMs: number): boolean {
    const unsentBytes = this.#socket.writableLength
    const sentBytes = this.#socket.bytesWritten - unsentBytes
    const moved = sentBytes !== this.#sentBytes
    this.#sentBytes = sentBytes
    if (unsentBytes === 0 || moved) this.#stuckSinceMs = undefined
    else this.#stuckSinceMs ??= nowMs
    const stuckMs = this.#stuckSinceMs === undefined ? 0 : nowMs - this.#stuckSinceMs
    return stuckMs >= this.#options.limits.replyDeadlineMs
  }
}
