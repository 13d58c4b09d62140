import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

/** A lag sample with nothing to say; the fields a test is about are put over it. */
export function quietSample(diskId: string, fields: object = {}): object {
  return {
    diskId,
    groupId: null,
    state: 'CONSISTENT',
    code: null,
    nextCommand: null,
    recoveryPointAgeMs: 412,
    replicationDelayMs: { p50: 38, p99: 91, windowS: 60 },
    pendingWrites: 0,
    pendingBytes: 0,
    stages: { spooledMs: 0, aggregatorMs: 0, mirrorMs: 0, receivedMs: 0, appliedMs: 0 },
    known: null,
    received: null,
    applied: null,
    consistentAsOf: null,
    clockSkewMs: null,
    sampledAt: '2026-11-22T10:00:00.123Z',
    etaMs: null,
    source: { state: 'STREAMING', seenAt: '2026-11-22T10:00:00.100Z' },
    groupState: null,
    progress: null,
    ...fields,
  }
}

/** The REST and the feed of an applier, saying what a test wants said. */
export class FakeApplier implements AsyncDisposable {
  /** By path; what else is asked for is not there. */
  readonly answers = new Map<string, object>()
  readonly clients = new Set<WebSocket>()
  readonly #server: Server
  readonly #feed = new WebSocketServer({ noServer: true })

  private constructor(server: Server) {
    this.#server = server
    server.on('request', (request, response) => {
      const answer = this.answers.get(request.url ?? '')
      response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(answer ?? { code: 'NOT_FOUND', detail: 'no such route' }))
    })
    server.on('upgrade', (request, socket, head) => {
      this.#feed.handleUpgrade(request, socket, head, (client) => {
        this.clients.add(client)
        client.on('close', () => this.clients.delete(client))
      })
    })
  }

  static async listen(port = 0): Promise<FakeApplier> {
    const server = createServer()
    await once(server.listen(port, '127.0.0.1'), 'listening')
    return new FakeApplier(server)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** To every client of the feed. */
  send(message: object): void {
    for (const client of this.clients) client.send(JSON.stringify(message))
  }

  /** As a killed applier: every connection is cut, nobody listens any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) client.terminate()
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
