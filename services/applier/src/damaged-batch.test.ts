import { expect, test } from 'vitest'
import { Fault } from '@blockferry/runtime'
import { defaultApplierOptions } from './options.ts'
import { stateOf } from './disk/disk-state.ts'
import { healingOptions, heartbeatOf, inSync, stateOfVda } from '../testing/in-sync.ts'
import { TargetWorld } from '../testing/target-world.ts'

/*
 * A batch of the mirrored topic that fails its checksum wherever it is read from: damaged on the broker's disk
 * (design §10: bit flips in a topic are detected, sent again or resynced, never applied; G4: nothing is lost silently).
 */

const updates = { topic: 'site-a.updates', kafkaPartition: 0 }
/** As many as are allowed before a batch counts as damaged for good. */
const triesMax = defaultApplierOptions.undecodableTriesMax

async function twoInSync() {
  const { world, vda } = await inSync()
  const vdb = world.source('vdb')
  world.arrive(vdb.fullSync())
  await world.time.until(() => world.drained('vdb'), 'the neighbour')
  const codeOf = (diskId: string) => stateOf(world.live.volume.disk(diskId)).code
  return { world, vda, vdb, codeOf }
}

test('is left behind after a few tries, visibly; what it held is a gap and is sent again', async () => {
  const { world, vda, vdb, codeOf } = await twoInSync()
  const { latest } = world.cluster.partition(updates)
  world.cluster.damageBatch(updates, { from: latest, to: latest + 1n })
  vda.write(2, 2)
  const lost = vda.set()
  world.arrive(lost)
  await world.time.until(
    () => codeOf('vdb') === 'RECORD_BATCH_CORRUPT',
    'the flag on all disks of the partition',
  )
  expect(codeOf('vda')).toBe('RECORD_BATCH_CORRUPT')
  expect(world.live.volume.stats.damagedBatches).toBe(1)
  expect(world.log.some((line) => line.includes(`the batch at ${latest} stays unreadable`))).toBe(true)
  vda.write(3, 3)
  const next = vda.set()
  vdb.write(4, 4)
  world.arrive(next, vdb.set())
  await world.time.until(() => world.drained('vdb'), 'the neighbour', 2_000)
  expect(codeOf('vdb')).toBe(null)
  await world.time.until(() => world.requests().length > 0, 'a request')
  expect(world.requests()).toMatchObject([{ kind: 'resend', diskId: 'vda' }])
  expect(codeOf('vda')).toBe('GAP')
  world.arrive(lost, next)
  await world.time.until(() => world.drained('vda'), 'the re-sent sets')
  expect(stateOfVda(world)).toBe('CONSISTENT')
  expect(world.imageOf('vda').equals(vda.bytes)).toBe(true)
  await world.stop()
})

test('that was the last is missed because heartbeats announce what it held; whoever lost nothing is cleared', async () => {
  const { world, vda, vdb, codeOf } = await twoInSync()
  const { latest } = world.cluster.partition(updates)
  world.cluster.damageBatch(updates, { from: latest, to: latest + 1n })
  vda.write(2, 2)
  world.arrive(vda.set())
  await world.time.until(() => codeOf('vdb') === 'RECORD_BATCH_CORRUPT', 'the flag')
  world.heartbeat(heartbeatOf(vda), heartbeatOf(vdb))
  await world.time.until(() => codeOf('vdb') === null, 'the neighbour to be cleared')
  await world.time.until(() => world.requests().length > 0, 'a request')
  expect(codeOf('vda')).toBe('GAP')
  await world.stop()
})

test('of which nobody can tell where it ends is left offset by offset, without new tries at each', async () => {
  const { world, vda, vdb } = await twoInSync()
  const { latest } = world.cluster.partition(updates)
  for (let at = latest; at < latest + 40n; at += 1n) {
    world.cluster.damageBatch(updates, { from: at, to: at + 1n })
    vda.write(2, 2)
    world.arrive(vda.set())
  }
  vdb.write(4, 4)
  world.arrive(vdb.set())
  await world.time.until(() => world.drained('vdb'), 'the neighbour', 15_000)
  expect(world.live.volume.stats.damagedBatches).toBeGreaterThanOrEqual(40)
  await world.stop()
})

test('that only looked so on its way is read again, and nothing is left out', async () => {
  const { world, vda } = await inSync()
  await world.stop()
  let failures = 0
  world.wrapLog = (log) => {
    const fetch = log.fetch.bind(log)
    log.fetch = async (request, signal) => {
      const [first] = request.positions
      if (first?.topic !== updates.topic || failures >= triesMax) return fetch(request, signal)
      failures += 1
      const details = { nextKafkaOffset: String(first.kafkaOffset + 1n) }
      const cause = new Fault('RECORD_BATCH_CORRUPT', 'checksum differs', { details })
      return [{ ...updates, kind: 'failed', code: cause.code, cause }]
    }
    return log
  }
  vda.write(2, 2)
  world.arrive(vda.set())
  await world.start()
  await world.time.until(() => world.drained('vda'), 'the set')
  expect(failures).toBe(triesMax)
  expect(world.live.volume.stats.damagedBatches).toBe(0)
  expect(world.requests()).toEqual([])
  await world.stop()
})

test('of the descriptors is left behind too: those after it count', async () => {
  const world = new TargetWorld(healingOptions)
  const vda = world.source('vda')
  world.cluster.damageBatch({ topic: 'site-a.disks', kafkaPartition: 0 }, { from: 0n, to: 1n })
  world.arrive(vda.fullSync())
  await world.start()
  await world.time.until(() => stateOfVda(world) === 'WAITING(DESCRIPTOR_MISSING)', 'the wait')
  world.describe('vda')
  await world.time.until(() => world.drained('vda'), 'the disk')
  await world.stop()
})
