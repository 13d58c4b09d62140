import { setImmediate as immediate, setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '@blockferry/runtime'
import { describe } from 'vitest'
import { replicationLogConformance } from '../testing/conformance.ts'
import type { TopicPartition } from '../replication-log.ts'
import type { ConformanceHarness } from '../testing/harness.ts'
import { createMemoryCluster } from './cluster.ts'

const realClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (delayMs, signal) =>
    delay(delayMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined),
}

/** More than anybody takes from an answer to the next question. */
const turnsToNotice = 50

async function openMemory(): Promise<ConformanceHarness> {
  let onProduce: ((partition: TopicPartition) => void) | null = null
  const cluster = createMemoryCluster({
    clock: realClock,
    step: async ({ operation, partition, phase }) => {
      await immediate()
      if (operation === 'produce' && phase === 'before' && partition !== undefined) onProduce?.(partition)
    },
  })
  return {
    connect: async (clientId, { impatient = false, ...options } = {}) =>
      cluster.connect({ ...options, clientId, unavailableWaitMs: impatient ? 50 : 30_000 }),
    deleteTopic: async (topic) => cluster.deleteTopic(topic),
    killBrokers: async () => cluster.setAvailable(false),
    startBrokers: async () => {
      for (let turn = 0; turn < turnsToNotice; turn += 1) await immediate()
      cluster.setAvailable(true)
    },
    killBrokersInNextProduce: ({ kafkaPartition, topic }) =>
      new Promise((resolve) => {
        onProduce = (partition) => {
          if (partition.topic !== topic || partition.kafkaPartition !== kafkaPartition) return
          onProduce = null
          cluster.setAvailable(false)
          resolve()
        }
      }),
    loseNextAcknowledgement: (partition) =>
      cluster.failNextProduce(partition, 'acknowledgementLostThenRetried'),
    [Symbol.asyncDispose]: async () => undefined,
  }
}

describe('the in-memory log conforms', () => replicationLogConformance(openMemory))
