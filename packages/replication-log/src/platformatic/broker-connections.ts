import { type API, Connection, type Broker, ResponseError } from '@platformatic/kafka'
import { fault } from '../faults.ts'
import { requestFault, timeoutFault } from './kafka-error.ts'
import type { ConnectionLimits } from './limits.ts'

/** The library's own request timer never fires: ours knows what each request asked the broker to wait. */
const libraryTimeoutMs = 24 * 3_600_000

export interface CallOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** The name under which a broker's connection is kept. */
export function brokerName({ host, port }: Broker): string {
  return `${host}:${port}`
}

/**
 * One connection to each broker, opened when first needed. A connection that missed a deadline or was
 * left by an abort is destroyed: a WAN cut keeps it open and silent, and what is queued behind an
 * unanswered request would wait with it.
 */
export class BrokerConnections {
  readonly #clientId: string
  readonly #limits: ConnectionLimits
  readonly #connections = new Map<string, Promise<Connection>>()
  #closed = false

  constructor(clientId: string, limits: ConnectionLimits) {
    this.#clientId = clientId
    this.#limits = limits
  }

  /** Sends one request and waits for its answer; error codes inside the answer are the caller's to read. */
  async call<Arguments extends unknown[], Response>(
    broker: Broker,
    request: { readonly api: API<Arguments, Response>; readonly args: Arguments },
    options: CallOptions,
  ): Promise<Response> {
    options.signal?.throwIfAborted()
    const opening = this.#connection(broker)
    const connection = await abortable(opening, options.signal)
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    const abandon = (reason: unknown): void => {
      reject(reason)
      // Before its 'close' event: the next call must not be queued on a connection that is going.
      this.#forget(broker, opening)
      connection.socket.destroy()
    }
    const timer = setTimeout(
      () => abandon(timeoutFault(brokerName(broker), options.timeoutMs)),
      options.timeoutMs,
    )
    const onAbort = (): void => abandon(options.signal?.reason)
    options.signal?.addEventListener('abort', onAbort, { once: true })
    request.api(connection, ...request.args, (error: Error | null, response?: Response) => {
      if (error === null) resolve(response as Response)
      else if (error instanceof ResponseError) resolve(error['response'] as Response)
      else reject(requestFault(error, brokerName(broker)))
    })
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      options.signal?.removeEventListener('abort', onAbort)
    }
  }

  #connection(broker: Broker): Promise<Connection> {
    if (this.#closed) return Promise.reject(fault('LOG_CLOSED', 'the client was closed'))
    const name = brokerName(broker)
    const open = this.#connections.get(name)
    if (open !== undefined) return open
    const opening = this.#open(broker, () => this.#forget(broker, opening))
    this.#connections.set(name, opening)
    return opening
  }

  #forget(broker: Broker, opening: Promise<Connection>): void {
    const name = brokerName(broker)
    if (this.#connections.get(name) === opening) this.#connections.delete(name)
  }

  async #open(broker: Broker, onEnd: () => void): Promise<Connection> {
    const connection = new Connection(this.#clientId, {
      connectTimeout: this.#limits.connectTimeoutMs,
      requestTimeout: libraryTimeoutMs,
    })
    // Kept for its whole life: an 'error' event without a listener would end the process.
    connection.on('error', onEnd)
    connection.on('close', onEnd)
    try {
      await connection.connect(broker.host, broker.port)
      return connection
    } catch (error) {
      onEnd()
      throw requestFault(error, brokerName(broker))
    }
  }

  /** Ends every connection at once; outstanding calls fail. */
  destroy(): void {
    for (const opening of this.#connections.values()) {
      opening.then(
        (connection) => connection.socket.destroy(),
        () => undefined,
      )
    }
    this.#connections.clear()
  }

  close(): void {
    this.#closed = true
    this.destroy()
  }
}

/** Stops waiting when the signal aborts; what was begun goes on for the next caller. */
async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
