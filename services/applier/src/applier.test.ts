import { MemoryMedium } from '@blockferry/storage'
import { describe, expect, test } from 'vitest'
import { isOpenable, stateOf } from './disk/disk-state.ts'
import { diskBytes, TargetWorld } from '../testing/target-world.ts'
import { TestSource } from '../testing/test-source.ts'

describe('receiving and applying', () => {
  test('an initial sync and the writes after it make the image equal to the source', async () => {
    const world = new TargetWorld()
    const vda = world.source('vda')
    vda.write(3, 7)
    world.arrive(vda.fullSync())
    vda.write(5, 9, 4)
    world.arrive(vda.set())
    await world.start()
    await world.time.until(() => world.drained('vda'), 'vda to drain')
    expect(world.imageOf('vda').equals(vda.bytes)).toBe(true)
    expect(stateOf(world.live.volume.disk('vda')).state).toBe('CONSISTENT')
    await world.time.until(() => world.reported('vda')?.state === 'CONSISTENT', 'the report')
    expect(world.reported('vda')?.sequence).toBe(vda.position.sequence)
    await world.stop()
  })

  test('a disk that was left in Kafka before its first set is read from there after a restart', async () => {
    const world = new TargetWorld({ applyIntervalMs: 50 })
    const source = new TestSource({ diskId: 'vda', sizeBytes: diskBytes, nowMs: () => world.time.nowMs })
    world.sources.set('vda', source)
    world.images.set('vda', new MemoryMedium())
    source.write(1, 1, 3)
    world.arrive(source.fullSync())
    await world.start()
    await world.time.until(() => world.live.volume.disk('vda').parked !== null, 'the set to be left in Kafka')
    await world.stop()
    world.describe('vda')
    await world.start()
    await world.time.until(() => world.drained('vda'), 'the set to be applied')
    expect(world.requests()).toEqual([])
    await world.stop()
  })

  test('no image is offered between the start of a resync and its end', async () => {
    const world = new TargetWorld()
    const vda = world.source('vda')
    vda.write(3, 7)
    world.arrive(vda.set())
    await world.start()
    await world.time.until(() => world.drained('vda'), 'vda to drain')
    const disk = world.live.volume.disk('vda')
    expect(isOpenable(disk)).toBe(false)
    expect(stateOf(disk).state).toBe('RESYNCING')
    expect(world.live.lag.sample(disk).recoveryPointAgeMs).toBe(null)
    world.arrive(vda.fullSync())
    await world.time.until(() => world.drained('vda'), 'the resync to end')
    expect(isOpenable(disk)).toBe(true)
    await world.stop()
  })
})
