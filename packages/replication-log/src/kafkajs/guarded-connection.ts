import { type Socket, connect } from 'node:net'
import Connection from 'kafkajs/src/network/connection.js'
import Encoder from 'kafkajs/src/protocol/encoder.js'
import type { Broker } from '../kafka/exchanges.ts'
import type { ConnectOptions } from '../kafka/library.ts'
import type { ApiName, KafkajsExchange } from './exchange.ts'

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
    // Nothing ever waits in the queue: no limit of requests under way is set, and it is told of no throttle
    // time. Left alone, it sets a timer in the past after every answer, with a warning of Node's.
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
  async exchange<Request, Answer>(
    entry: KafkajsExchange<Request, Answer>,
    request: Request,
  ): Promise<Answer> {
    const transfer = entry.begin(request)
    const { payload } = await this.#send(entry, await transfer.encode())
    return transfer.decode(payload)
  }

  /** The library's `send` without its three copies of a request: a batch goes to the socket as it is. */
  #send(
    { key: apiKey, api: apiName, version: apiVersion }: ApiName & { readonly key: number },
    body: readonly Buffer[],
  ): Promise<{ readonly payload: Buffer }> {
    const { promise, resolve, reject } = Promise.withResolvers<{ readonly payload: Buffer }>()
    const { socket } = this
    if (socket === undefined || !this.isConnected()) throw new Error('the connection has ended')
    const correlationId = this.nextCorrelationId()
    const header = new Encoder()
      .writeInt16(apiKey)
      .writeInt16(apiVersion)
      .writeInt32(correlationId)
      .writeString(this.clientId).buffer
    const frameBytes = body.reduce((bytes, part) => bytes + part.length, header.length)
    const sendRequest = (): void => {
      socket.cork()
      for (const part of [new Encoder().writeInt32(frameBytes).buffer, header, ...body]) socket.write(part)
      socket.uncork()
    }
    const entry = { apiKey, apiName, apiVersion, correlationId, resolve, reject }
    this.requestQueue.push({ entry, expectResponse: true, requestTimeout: null, sendRequest })
    return promise
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
