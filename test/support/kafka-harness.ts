import { type KafkaClientName, connectReplicationLog } from '@blockferry/replication-log'
import type { ConformanceHarness } from '@blockferry/replication-log/conformance-harness'
import type { KafkaProxy } from './kafka-proxy.ts'

const patient = { produceDeadlineMs: 60_000, controlDeadlineMs: 60_000, metadataAgeMsMax: 100 }
const impatient = { produceDeadlineMs: 1_000, topicUnknownWaitMs: 500, metadataAgeMsMax: 100 }

/** A broker whose life and death are the suite's; however it is run. */
export interface MortalBroker {
  /** kill -9. */
  kill(): Promise<void>
  /** Resolves when it answers. */
  start(): Promise<void>
}

/** The conformance suite's view of one broker behind a proxy, which is what the broker tells clients to connect to. */
export function kafkaHarness(parts: {
  readonly broker: MortalBroker
  readonly proxy: KafkaProxy
  readonly kafkaClient: KafkaClientName
}): ConformanceHarness {
  const { broker, kafkaClient, proxy } = parts
  const target = { brokers: [`127.0.0.1:${proxy.port}`], kafkaClient }
  return {
    connect: (clientId, { impatient: gaveUpSoon = false, ...options } = {}) =>
      connectReplicationLog({ ...target, ...options, clientId, ...(gaveUpSoon ? impatient : patient) }),
    deleteTopic: async (topic) => {
      await using log = await connectReplicationLog({ ...target, clientId: 'deleter', ...patient })
      await log.deleteTopic(topic)
    },
    killBrokers: () => broker.kill(),
    startBrokers: () => broker.start(),
    killBrokersInNextProduce: async () => {
      await proxy.passHalfOfNextProduce()
      await broker.kill()
    },
    loseNextAcknowledgement: () => proxy.loseNextProduceAnswer(),
    [Symbol.asyncDispose]: async () => {},
  }
}
