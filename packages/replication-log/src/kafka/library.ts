import type { Broker, ExchangeName, Exchanges, Question } from './exchanges.ts'

/** One open connection of a client library. */
export interface LibraryConnection {
  /** Sends one request and waits for its answer; rejects when the connection ends. Sets no deadline. */
  ask<Name extends ExchangeName>(question: Question<Name>): Promise<Exchanges[Name]['answer']>
  /** Ends it at once; what is outstanding fails. */
  destroy(): void
}

export interface ConnectOptions {
  readonly clientId: string
  readonly connectTimeoutMs: number
  /** Called, perhaps more than once, when the connection is of no more use. */
  readonly onEnd: () => void
}

/** What a Kafka client library is to this package: connections that speak the table of exchanges. */
export interface KafkaLibrary {
  /** The one version of each request that this library's adapter sends. */
  readonly versions: readonly { readonly name: string; readonly key: number; readonly version: number }[]
  connect(broker: Broker, options: ConnectOptions): Promise<LibraryConnection>
  /** The broker refused our credentials, as this library says it. */
  isRefusal(error: unknown): boolean
}
