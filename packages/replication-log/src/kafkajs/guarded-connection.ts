import { type Socket, connect } from 'node:net'
import Connection from 'kafkajs/src/network/connection.js'
import type { Broker } from '../kafka/exchanges.ts'
import type { ConnectOptions } from '../kafka/library.ts'
import type { KafkajsExchange } from './exchange.ts'

/** The library's own request timer never runs: ours knows what each request asked the broker to wait. */
const libraryTimeoutMs = 24 * 3_600_000
const keepAliveDelayMs = 60_000

const silent = { namespace: () => silent, debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** kafkajs's connection without its timers, and safe from a peer that does not speak Kafka. */
export class GuardedConnection extends Connection {
  constructor({ host, port }: Broker, { clientId, connectTimeoutMs, onEnd }: ConnectOptions) {
    super({
      host,
      port,
      clientId,
      logger: silent,
      connectionTimeout: connectTimeoutMs,
      requestTimeout: libraryTimeoutMs,
      enforceRequestTimeout: false,
      socketFactory: ({ onConnect, ...address }) => openSocket(address, { onConnect, onEnd }),
    })
    // Nothing ever waits in the queue: no limit of requests under way is set, and our answers carry no
    // throttle time. Left alone, it sets a timer in the past after every answer, with a warning of Node's.
    this.requestQueue.scheduleCheckPendingRequests = () => {}
  }

  /** Bytes that are no Kafka answer throw inside a socket event, which would end the process. */
  override processData(data: Buffer): void {
    try {
      super.processData(data)
    } catch (error) {
      this.destroy(new Error('the peer does not speak Kafka', { cause: error }))
    }
  }

  /** Sends one request of the table and waits for its answer. */
  exchange<Request, Answer>(entry: KafkajsExchange<Request, Answer>, request: Request): Promise<Answer> {
    const transfer = entry.begin(request)
    return this.send({
      request: {
        apiKey: entry.key,
        apiName: entry.api,
        apiVersion: entry.version,
        encode: () => transfer.encode(),
      },
      // Wrapped: the library looks for a throttle time in what is decoded.
      response: {
        decode: (payload) => transfer.decode(payload).then((answer) => ({ answer })),
        parse: ({ answer }) => answer,
      },
      logResponseError: false,
    })
  }

  destroy(reason: Error): void {
    this.rejectRequests(reason)
    this.socket?.destroy()
    this.disconnect().catch(() => {})
  }
}

function openSocket(
  address: Broker,
  { onConnect, onEnd }: { readonly onConnect: () => void; readonly onEnd: () => void },
): Socket {
  const options = { ...address, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveDelayMs }
  const socket = connect(options, onConnect)
  socket.once('end', onEnd)
  socket.once('close', onEnd)
  return socket
}
