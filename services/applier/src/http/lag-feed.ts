import websocket, { type WebSocket } from '@fastify/websocket'
import { MiB } from '@blockferry/runtime'
import type { HttpEdge } from '@blockferry/runtime/service'
import type { Applier } from '../applier.ts'
import type { LagMessage, LagSample } from '../lag/lag-sample.ts'
import { type LagFilter, type LagFrame, LagFrames, matches } from './lag-frames.ts'

/*
 * The live feed. Invariants:
 *
 * L1  A client whose buffer is full is closed with 1013; nothing is ever queued for it beyond that, and no
 *     other client notices.
 * L2  A client that answers no ping is gone.
 * L3  One sample of a disk is measured and encoded once a second, and one message put together per filter,
 *     however many clients watch.
 * L4  What all clients together leave unread has a limit, too: at it the slowest are closed with 1013. Those
 *     closed count until they are gone; before a second lot has to go, the first is cut off.
 */

export interface LagFeedLimits {
  readonly clientsMax: number
  /** Bytes that a client may leave unread. */
  readonly bufferedBytesMax: number
  /** Bytes that all clients together may leave unread. */
  readonly bufferedBytesTotalMax: number
}

/** Bytes that a client may leave unread. */
export const bufferedBytesMax = 4 * MiB
export const lagFeedLimits: LagFeedLimits = {
  clientsMax: 1_000,
  bufferedBytesMax,
  bufferedBytesTotalMax: 32 * MiB,
}
const updateMs = 1_000
const pingMs = 15_000
/** A closing handshake that is not answered ends the connection. */
const closeMsMax = 5_000
/** The same at the end of the process, which has ten seconds for everything. */
const stopMsMax = 1_000
const closeCode = { tryAgainLater: 1013, goingAway: 1001 } as const

interface Client {
  readonly socket: WebSocket
  readonly filter: LagFilter
  alive: boolean
}

export interface LagFeed {
  /** Serves one client from now on. */
  join(socket: WebSocket, filter: LagFilter): void
  close(): void
}

export function messageOf(type: LagMessage['type'], disks: readonly LagSample[]): LagMessage {
  return { type, sampledAt: new Date().toISOString(), disks }
}

class Feed implements LagFeed {
  readonly #applier: Applier
  readonly #limits: LagFeedLimits
  readonly #frames: LagFrames
  readonly #clients = new Set<Client>()
  /** Closed by us and not gone yet, oldest first: what is queued for them is still held. */
  readonly #leaving = new Set<WebSocket>()
  readonly #timers: NodeJS.Timeout[]
  readonly #stopListening: () => void
  #isClosed = false

  constructor(applier: Applier, limits: LagFeedLimits) {
    this.#applier = applier
    this.#limits = limits
    this.#frames = new LagFrames(applier.lag)
    this.#timers = [setInterval(() => this.#update(), updateMs), setInterval(() => this.#ping(), pingMs)]
    this.#stopListening = applier.volume.onStateChange((disk) => {
      if (this.#clients.size > 0) this.#broadcast(this.#frames.stateChange(disk), disk)
    })
  }

  join(socket: WebSocket, filter: LagFilter): void {
    // An error is always followed by close.
    socket.on('error', () => socket.terminate())
    if (this.#isClosed) return socket.terminate()
    if (this.#clients.size >= this.#limits.clientsMax) {
      this.#applier.volume.stats.lagClientsRefused += 1
      this.#end(socket, closeCode.tryAgainLater, 'too many clients')
      return
    }
    const client: Client = { socket, filter, alive: true }
    this.#clients.add(client)
    this.#count()
    socket.on('pong', () => {
      client.alive = true
    })
    socket.on('close', () => this.#leave(client))
    this.#send(client, this.#frames.snapshot())
    this.#fit()
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer)
    this.#stopListening()
    this.#isClosed = true
    for (const { socket } of this.#clients) this.#end(socket, closeCode.goingAway, 'the applier stops')
    setTimeout(() => this.#leaving.forEach((socket) => socket.terminate()), stopMsMax).unref()
  }

  #update(): void {
    if (this.#clients.size > 0) this.#broadcast(this.#frames.update(), null)
    else this.#fit()
  }

  /** To everybody, or to those who watch this disk. */
  #broadcast(frame: LagFrame, only: Pick<LagSample, 'diskId' | 'groupId'> | null): void {
    for (const client of this.#clients) {
      if (only === null || matches(only, client.filter)) this.#send(client, frame)
    }
    this.#fit()
  }

  #send(client: Client, frame: LagFrame): void {
    const { socket, filter } = client
    if (socket.readyState !== socket.OPEN) return
    if (socket.bufferedAmount > this.#limits.bufferedBytesMax) this.#drop(client)
    else socket.send(frame.for(filter), { binary: false })
  }

  /** L4. */
  #fit(): void {
    const { stats } = this.#applier.volume
    let buffered = 0
    for (const { socket } of this.#clients) buffered += socket.bufferedAmount
    for (const socket of this.#leaving) buffered += socket.bufferedAmount
    stats.lagBufferedBytes = buffered
    const total = this.#limits.bufferedBytesTotalMax
    if (buffered <= total) return
    for (const socket of this.#leaving) {
      if (buffered <= total) return
      buffered -= socket.bufferedAmount
      this.#leaving.delete(socket)
      socket.terminate()
    }
    const slowest = [...this.#clients].toSorted((a, b) => b.socket.bufferedAmount - a.socket.bufferedAmount)
    for (const client of slowest) {
      if (buffered <= total) return
      buffered -= client.socket.bufferedAmount
      this.#drop(client)
    }
  }

  /** L1. */
  #drop(client: Client): void {
    this.#applier.volume.stats.lagClientsDropped += 1
    this.#leave(client)
    this.#end(client.socket, closeCode.tryAgainLater, 'reads too slowly')
  }

  #end(socket: WebSocket, code: number, reason: string): void {
    this.#leaving.add(socket)
    socket.on('close', () => this.#leaving.delete(socket))
    socket.close(code, reason)
    setTimeout(() => socket.terminate(), closeMsMax).unref()
  }

  #ping(): void {
    for (const client of this.#clients) {
      if (!client.alive) {
        client.socket.terminate()
        continue
      }
      client.alive = false
      client.socket.ping()
    }
  }

  #leave(client: Client): void {
    this.#clients.delete(client)
    this.#count()
  }

  #count(): void {
    this.#applier.volume.stats.lagClients = this.#clients.size
  }
}

/** Serves `WS /v1/lag` beside `GET /v1/lag`. */
export async function serveLagFeed(
  edge: HttpEdge,
  applier: Applier,
  options: { readonly schema: object; readonly limits: LagFeedLimits },
): Promise<LagFeed> {
  const { schema, limits } = options
  await edge.register(websocket, { options: { maxPayload: 1_024 } })
  const feed = new Feed(applier, limits)
  edge.route<{ Querystring: LagFilter }>({
    method: 'GET',
    url: '/v1/lag',
    schema,
    handler: async (request) =>
      messageOf(
        'snapshot',
        applier.lag.samples().filter((sample) => matches(sample, request.query)),
      ),
    wsHandler: (socket, request) => feed.join(socket, request.query),
  })
  return feed
}
