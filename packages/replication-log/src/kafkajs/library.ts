import type { Broker } from '../kafka/exchanges.ts'
import type { ConnectOptions, KafkaLibrary, LibraryConnection } from '../kafka/library.ts'
import { exchanges } from './exchanges.ts'
import { GuardedConnection } from './guarded-connection.ts'

/** kafkajs's connections and framing, and its encoders and decoders where they will do (ADR 9). */
export const kafkajsLibrary: KafkaLibrary = {
  versions: Object.values(exchanges).map(({ api, key, version }) => ({ name: api, key, version })),
  connect,
  // Only its SASL code says so, and no option of ours turns that on.
  isRefusal: () => false,
}

async function connect(broker: Broker, options: ConnectOptions): Promise<LibraryConnection> {
  const connection = new GuardedConnection(broker, options)
  try {
    await connection.connect()
  } catch (error) {
    connection.destroy(new Error('the connection was not made', { cause: error }))
    throw error
  }
  return {
    ask: ({ ask, of }) => connection.exchange(exchanges[ask], of),
    destroy: () => connection.destroy(new Error('the connection was given up')),
  }
}
