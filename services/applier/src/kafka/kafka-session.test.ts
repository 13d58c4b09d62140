import { createMemoryCluster } from '@blockferry/replication-log'
import { systemClock } from '@blockferry/runtime/service'
import { expect, test } from 'vitest'
import { defaultApplierOptions } from '../options.ts'
import { KafkaSession } from './kafka-session.ts'

test('a stop that comes while the client is being connected ends the opening: nothing waits for an absent Kafka', async () => {
  const cluster = createMemoryCluster({ clock: systemClock, unavailableWaitMs: 60_000 })
  cluster.setAvailable(false)
  const stop = new AbortController()
  const connectLog = async () => {
    stop.abort()
    return cluster.connect({ clientId: 'applier' })
  }
  const deps = { clock: systemClock, topics: [], connectLog }
  const opening = KafkaSession.open(deps, defaultApplierOptions, stop.signal)
  await expect(opening).rejects.toMatchObject({ code: 'LOG_CLOSED' })
}, 5_000)
