import { setImmediate as immediate, setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '@blockferry/runtime'
import { describe } from 'vitest'
import { replicationLogConformance } from '../testing/conformance.ts'
import type { ConformanceHarness } from '../testing/harness.ts'
import { createMemoryCluster } from './cluster.ts'

const realClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (delayMs, signal) =>
    delay(delayMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined),
}

async function openMemory(): Promise<ConformanceHarness> {
  const cluster = createMemoryCluster({ clock: realClock, step: () => immediate() })
  return {
    connect: async (clientId, options) =>
      cluster.connect({ clientId, unavailableWaitMs: options?.impatient === true ? 50 : 30_000 }),
    deleteTopic: async (topic) => cluster.deleteTopic(topic),
    killBrokers: async () => cluster.setAvailable(false),
    startBrokers: async () => {
      // Long enough for whoever waits to notice.
      await delay(20)
      cluster.setAvailable(true)
    },
    loseNextAcknowledgement: (partition) =>
      cluster.failNextProduce(partition, 'acknowledgementLostThenRetried'),
    [Symbol.asyncDispose]: async () => undefined,
  }
}

describe('the in-memory log conforms', () => replicationLogConformance(openMemory))
