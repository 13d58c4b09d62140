import { assert } from '@blockferry/runtime'
import { KafkaClient } from './kafka/client.ts'
import type { Broker } from './kafka/exchanges.ts'
import type { KafkaLibrary } from './kafka/library.ts'
import { type ConnectionLimits, defaultConnectionLimits } from './kafka/limits.ts'

/** The client libraries to choose from; the first is the default. */
export const kafkaClientNames = ['platformatic', 'kafkajs'] as const
export type KafkaClientName = (typeof kafkaClientNames)[number]

export interface ReplicationLogOptions extends Partial<ConnectionLimits> {
  /** `host:port` of brokers to begin with; the rest of the cluster is found through them. */
  readonly brokers: readonly string[]
  /** Shows in the broker's log and quotas. */
  readonly clientId: string
  /**
   * A name that outlives the process: a restarted member gets its partitions back at once, instead of
   * after the session timeout of its dead self. Two processes with one name: GROUP_MEMBER_FENCED.
   */
  readonly groupInstanceId?: string
  /** Which library carries the requests; both keep the port's invariants (ADR 9). */
  readonly kafkaClient?: KafkaClientName
}

/**
 * A ReplicationLog on a Kafka cluster. Opens no connection yet, so it succeeds while Kafka is away; the
 * operations wait for their deadlines and then throw KAFKA_UNREACHABLE.
 */
export async function connectReplicationLog(options: ReplicationLogOptions): Promise<KafkaClient> {
  const { brokers, clientId, groupInstanceId = null, kafkaClient = 'platformatic', ...limits } = options
  assert(brokers.length > 0, 'at least one broker')
  return new KafkaClient({
    library: await loadLibrary(kafkaClient),
    brokers: brokers.map(parseBroker),
    clientId,
    groupInstanceId,
    limits: { ...defaultConnectionLimits, ...limits },
  })
}

/** Loads the one library chosen: nobody pays memory for the other. */
async function loadLibrary(name: KafkaClientName): Promise<KafkaLibrary> {
  switch (name) {
    case 'platformatic':
      return (await import('./platformatic/library.ts')).platformaticLibrary
    case 'kafkajs':
      return (await import('./kafkajs/library.ts')).kafkajsLibrary
  }
}

/** `host:port`, `[v6]:port`; port 9092 when left out. */
function parseBroker(text: string): Broker {
  const match = /^(?:\[(?<v6>[^\]]+)\]|(?<host>[^:]+))(?::(?<port>\d+))?$/.exec(text)
  const host = match?.groups?.['v6'] ?? match?.groups?.['host']
  assert(host !== undefined, `broker address "${text}" is not host:port`)
  return { host, port: Number(match?.groups?.['port'] ?? 9092) }
}
