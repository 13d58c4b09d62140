import websocket, { type WebSocket } from '@fastify/websocket'
import { MiB } from '@blockferry/runtime'
import type { HttpEdge } from '@blockferry/runtime/service'
import type { Applier } from '../applier.ts'
import type { Disk } from '../disk/disk.ts'
import type { LagMessage, LagSample } from '../lag/lag-sample.ts'

/*
 * The live feed. Invariants:
 *
 * L1  A client whose buffer is full is closed with 1013; nothing is ever queued for it beyond that, and no
 *     other client notices.
 * L2  A client that answers no ping is gone.
 * L3  One sample of a disk is measured and encoded once a second, however many clients watch.
 */

/** Bytes that a client may leave unread. */
export const bufferedBytesMax = 4 * MiB
export const clientsMax = 1_000
const updateMs = 1_000
const pingMs = 15_000
/** A closing handshake that is not answered ends the connection. */
const closeMsMax = 5_000
const closeCode = { tryAgainLater: 1013, goingAway: 1001 } as const

export interface LagFilter {
  readonly disk?: string | undefined
  readonly group?: string | undefined
}

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

/** A sample without the time it was taken at: what has to differ for an update. */
function essence(sample: LagSample): string {
  const { sampledAt: _sampledAt, ...rest } = sample
  return JSON.stringify(rest)
}

export function matches(sample: Pick<LagSample, 'diskId' | 'groupId'>, filter: LagFilter): boolean {
  if (filter.disk !== undefined && sample.diskId !== filter.disk) return false
  return filter.group === undefined || sample.groupId === filter.group
}

export function messageOf(type: LagMessage['type'], disks: readonly LagSample[]): LagMessage {
  return { type, sampledAt: new Date().toISOString(), disks }
}

class Feed implements LagFeed {
  readonly #applier: Applier
  readonly #clients = new Set<Client>()
  readonly #shown = new Map<string, string>()
  readonly #timers: NodeJS.Timeout[]
  readonly #stopListening: () => void

  constructor(applier: Applier) {
    this.#applier = applier
    this.#timers = [setInterval(() => this.#update(), updateMs), setInterval(() => this.#ping(), pingMs)]
    this.#stopListening = applier.volume.onStateChange((disk) => this.#stateChanged(disk))
  }

  join(socket: WebSocket, filter: LagFilter): void {
    if (this.#clients.size >= clientsMax) {
      socket.close(closeCode.tryAgainLater, 'too many clients')
      return
    }
    const client: Client = { socket, filter, alive: true }
    this.#clients.add(client)
    this.#count()
    socket.on('pong', () => {
      client.alive = true
    })
    // An error is always followed by close.
    socket.on('error', () => socket.terminate())
    socket.on('close', () => this.#leave(client))
    const disks = this.#applier.lag.samples().filter((sample) => matches(sample, filter))
    this.#send(client, messageOf('snapshot', disks))
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer)
    this.#stopListening()
    for (const client of this.#clients) client.socket.close(closeCode.goingAway, 'the applier stops')
  }

  #update(): void {
    if (this.#clients.size === 0) return
    const changed = this.#applier.lag.samples().filter((sample) => this.#isNews(sample))
    for (const client of this.#clients) {
      this.#send(
        client,
        messageOf(
          'update',
          changed.filter((sample) => matches(sample, client.filter)),
        ),
      )
    }
  }

  #isNews(sample: LagSample): boolean {
    const now = essence(sample)
    if (this.#shown.get(sample.diskId) === now) return false
    this.#shown.set(sample.diskId, now)
    return true
  }

  #stateChanged(disk: Disk): void {
    if (this.#clients.size === 0) return
    const sample = this.#applier.lag.sample(disk)
    for (const client of this.#clients) {
      if (matches(sample, client.filter)) this.#send(client, messageOf('update', [sample]))
    }
  }

  #send(client: Client, message: LagMessage): void {
    const { socket } = client
    if (socket.readyState !== socket.OPEN) return
    if (socket.bufferedAmount > bufferedBytesMax) {
      this.#applier.volume.stats.lagClientsDropped += 1
      this.#drop(client)
      return
    }
    socket.send(JSON.stringify(message))
  }

  /** L1. */
  #drop(client: Client): void {
    this.#leave(client)
    client.socket.close(closeCode.tryAgainLater, 'reads too slowly')
    setTimeout(() => client.socket.terminate(), closeMsMax).unref()
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
export async function serveLagFeed(edge: HttpEdge, applier: Applier, schema: object): Promise<LagFeed> {
  await edge.register(websocket, { options: { maxPayload: 1_024 } })
  const feed = new Feed(applier)
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
