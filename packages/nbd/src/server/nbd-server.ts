import type { AddressInfo, ListenOptions, Server, Socket } from 'node:net'
import { createServer } from 'node:net'

import { Connection } from './connection.ts'
import type { BudgetAccount } from './in-flight-budget.ts'
import { InFlightBudget } from './in-flight-budget.ts'
import type { NbdServerLimits } from './limits.ts'
import { defaultNbdServerLimits } from './limits.ts'
import type { NbdExports } from './nbd-export.ts'
import type { NbdObserver } from './nbd-observer.ts'

/** A unix socket refuses connects beyond its backlog, so a burst must fit before we can count and close it. */
const backlogMax = 4096

export interface NbdServerOptions {
  readonly exports: NbdExports
  readonly limits?: Partial<NbdServerLimits>
  readonly observer?: NbdObserver
}

/** A unix socket's path, or a TCP address; port 0 picks a free one. */
export type NbdListenAddress = { readonly path: string } | { readonly host: string; readonly port: number }

export interface NbdServer extends AsyncDisposable {
  /** May be called several times, with different addresses. Rejects with the system's error (EADDRINUSE …). */
  listen(address: NbdListenAddress): Promise<NbdListenAddress>
  readonly connections: number
  /** Bytes of requests in flight, over all connections. */
  readonly inFlightBytes: number
  /**
   * Stops accepting, answers new requests ESHUTDOWN, waits for those in flight (at most
   * `shutdownDeadlineMs`), then closes every connection.
   */
  close(): Promise<void>
}

/** Serves exports over NBD (T1): fixed newstyle, on unix sockets and TCP. */
export function createNbdServer(options: NbdServerOptions): NbdServer {
  return new NbdServerImplementation(options)
}

class NbdServerImplementation implements NbdServer {
  readonly #options: NbdServerOptions
  readonly #limits: NbdServerLimits
  readonly #budget: InFlightBudget
  readonly #accounts = new Map<string, BudgetAccount>()
  readonly #connections = new Set<Connection>()
  readonly #listeners: Server[] = []
  #lastConnectionId = 0
  #sweeper: NodeJS.Timeout | undefined
  #closing: Promise<void> | undefined
  #lastClosed: (() => void) | undefined

  constructor(options: NbdServerOptions) {
    this.#options = options
    this.#limits = { ...defaultNbdServerLimits, ...options.limits }
    this.#budget = new InFlightBudget(this.#limits.inFlightBytesMax)
  }

  get connections(): number {
    return this.#connections.size
  }

  get inFlightBytes(): number {
    return this.#budget.usedBytes + this.#budget.laneBytes
  }

  async listen(address: NbdListenAddress): Promise<NbdListenAddress> {
    // Half-open, so that a client that ends its side still gets the replies it waits for.
    const listener = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
    const listenOptions: ListenOptions = { ...address, backlog: backlogMax }
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject)
      listener.listen(listenOptions, () => {
        listener.off('error', reject)
        resolve()
      })
    })
    this.#listeners.push(listener)
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepIntervalMs(this.#limits)).unref()
    if ('path' in address) return address
    return { host: address.host, port: (listener.address() as AddressInfo).port }
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutDown()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #accept(socket: Socket): void {
    this.#lastConnectionId += 1
    const connectionId = this.#lastConnectionId
    const observer = this.#options.observer ?? {}
    if (this.#connections.size >= this.#limits.connectionsMax || this.#closing !== undefined) {
      // Its error, if any, is of no interest: it was never served.
      socket.on('error', () => socket.destroy())
      socket.destroy()
      const reason = this.#closing === undefined ? 'tooManyConnections' : 'shutdown'
      observer.connectionClosed?.(connectionId, reason)
      return
    }
    socket.setKeepAlive(true, this.#limits.keepAliveMs)
    const connection = new Connection({
      connectionId,
      socket,
      observer,
      exports: this.#options.exports,
      limits: this.#limits,
      budget: this.#budget,
      accountOf: (exportName) => this.#accountOf(exportName),
      closed: (closed) => this.#forget(closed),
    })
    this.#connections.add(connection)
    observer.connectionOpened?.(connectionId)
    connection.start(performance.now())
  }

  #accountOf(exportName: string): BudgetAccount {
    const account = this.#accounts.get(exportName) ?? { usedBytes: 0 }
    this.#accounts.set(exportName, account)
    return account
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection)
    if (this.#connections.size === 0) this.#lastClosed?.()
  }

  #sweep(): void {
    const nowMs = performance.now()
    for (const connection of this.#connections) connection.sweep(nowMs)
  }

  async #shutDown(): Promise<void> {
    const stopped = this.#listeners.map(
      (listener) => new Promise<void>((resolve) => listener.close(() => resolve())),
    )
    const drained = new Promise<void>((resolve) => {
      this.#lastClosed = resolve
    })
    for (const connection of this.#connections) connection.shutDown()
    const deadline = setTimeout(() => {
      for (const connection of this.#connections) connection.close('shutdown')
    }, this.#limits.shutdownDeadlineMs)
    if (this.#connections.size > 0) await drained
    clearTimeout(deadline)
    await Promise.all(stopped)
    clearInterval(this.#sweeper)
  }
}

/** A quarter of the shortest deadline, at most a second. */
function sweepIntervalMs(limits: NbdServerLimits): number {
  const { handshakeDeadlineMs, payloadDeadlineMs, replyDeadlineMs, requestDeadlineMs } = limits
  const shortestMs = Math.min(handshakeDeadlineMs, payloadDeadlineMs, replyDeadlineMs, requestDeadlineMs)
  return Math.max(10, Math.min(1000, shortestMs / 4))
}
