import { Connection, findErrorBy } from '@platformatic/kafka'
import type { Broker } from '../kafka/exchanges.ts'
import type { ConnectOptions, KafkaLibrary, LibraryConnection } from '../kafka/library.ts'
import { exchanges } from './exchanges.ts'

/** The library's own request timer never fires: ours knows what each request asked the broker to wait. */
const libraryTimeoutMs = 24 * 3_600_000

/** @platformatic/kafka's connections, framing, readers and writers. */
export const platformaticLibrary: KafkaLibrary = {
  versions: Object.entries(exchanges).map(([name, { key, version }]) => ({ name, key, version })),
  connect,
  isRefusal: (error) =>
    error instanceof Error && findErrorBy(error, 'code', 'PLT_KFK_AUTHENTICATION') !== null,
}

async function connect(broker: Broker, options: ConnectOptions): Promise<LibraryConnection> {
  const connection = new Connection(options.clientId, {
    connectTimeout: options.connectTimeoutMs,
    requestTimeout: libraryTimeoutMs,
  })
  // Kept for its whole life: an 'error' event without a listener would end the process.
  connection.on('error', options.onEnd)
  connection.on('close', options.onEnd)
  await connection.connect(broker.host, broker.port)
  return {
    ask: ({ ask, of }) => exchanges[ask].ask(connection, of),
    destroy: () => connection.socket.destroy(),
  }
}
