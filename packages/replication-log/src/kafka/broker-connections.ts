import { fault } from '../faults.ts'
import type { Broker, ExchangeName, Exchanges, Question } from './exchanges.ts'
import { requestFault, timeoutFault } from './kafka-error.ts'
import type { KafkaLibrary, LibraryConnection } from './library.ts'
import type { ConnectionLimits } from './limits.ts'

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
  readonly #library: KafkaLibrary
  readonly #clientId: string
  readonly #limits: ConnectionLimits
  readonly #connections = new Map<string, Promise<LibraryConnection>>()
  #closed = false

  constructor(options: {
    readonly library: KafkaLibrary
    readonly clientId: string
    readonly limits: ConnectionLimits
  }) {
    this.#library = options.library
    this.#clientId = options.clientId
    this.#limits = options.limits
  }

  /** Sends one request and waits for its answer; error codes inside the answer are the caller's to read. */
  async call<Name extends ExchangeName>(
    broker: Broker,
    question: Question<Name>,
    options: CallOptions,
  ): Promise<Exchanges[Name]['answer']> {
    options.signal?.throwIfAborted()
    const opening = this.#connection(broker)
    const connection = await abortable(opening, options.signal)
    const { promise, resolve, reject } = Promise.withResolvers<Exchanges[Name]['answer']>()
    const abandon = (reason: unknown): void => {
      reject(reason)
      // Before its 'close' event: the next call must not be queued on a connection that is going.
      this.#forget(broker, opening)
      connection.destroy()
    }
    const timer = setTimeout(
      () => abandon(timeoutFault(brokerName(broker), options.timeoutMs)),
      options.timeoutMs,
    )
    const onAbort = (): void => abandon(options.signal?.reason)
    options.signal?.addEventListener('abort', onAbort, { once: true })
    connection.ask(question).then(resolve, (error: unknown) => reject(this.#fault(error, broker)))
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      options.signal?.removeEventListener('abort', onAbort)
    }
  }

  #connection(broker: Broker): Promise<LibraryConnection> {
    if (this.#closed) return Promise.reject(fault('LOG_CLOSED', 'the client was closed'))
    const name = brokerName(broker)
    const open = this.#connections.get(name)
    if (open !== undefined) return open
    const opening = this.#open(broker, () => this.#forget(broker, opening))
    this.#connections.set(name, opening)
    return opening
  }

  #forget(broker: Broker, opening: Promise<LibraryConnection>): void {
    const name = brokerName(broker)
    if (this.#connections.get(name) === opening) this.#connections.delete(name)
  }

  async #open(broker: Broker, onEnd: () => void): Promise<LibraryConnection> {
    try {
      const { connectTimeoutMs } = this.#limits
      return await this.#library.connect(broker, { clientId: this.#clientId, connectTimeoutMs, onEnd })
    } catch (error) {
      onEnd()
      throw this.#fault(error, broker)
    }
  }

  #fault(error: unknown, broker: Broker): unknown {
    return requestFault(error, brokerName(broker), this.#library.isRefusal(error))
  }

  /** Ends every connection at once; outstanding calls fail. */
  close(): void {
    this.#closed = true
    for (const opening of this.#connections.values()) {
      opening.then(
        (connection) => connection.destroy(),
        () => undefined,
      )
    }
    this.#connections.clear()
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
