import { describe, expect, test } from 'vitest'
import { KiB } from '@blockferry/runtime'
import { stateOf } from './disk/disk-state.ts'
import { healingOptions, heartbeatOf, inSync, stateOfVda } from '../testing/in-sync.ts'
import { type Leaderless, leaderlessLog } from '../testing/leaderless-log.ts'
import { TargetWorld } from '../testing/target-world.ts'

describe('the mirrored updates, deleted while the applier runs', () => {
  test('and made again: a new client finds the place by position, as a new process would', async () => {
    const { world, vda } = await inSync()
    world.wipeUpdates()
    vda.write(2, 2)
    world.arrive(vda.set())
    await world.time.until(() => world.drained('vda'), 'the set')
    expect(world.imageOf('vda').equals(vda.bytes)).toBe(true)
    expect(stateOfVda(world)).toBe('CONSISTENT')
    expect(world.requests()).toEqual([])
    await world.stop()
  })

  test('and made by nobody else are made again as they should be (K3)', async () => {
    const { world, vda } = await inSync()
    world.wipeUpdates({ again: false })
    await world.time.until(() => world.cluster.topic('site-a.updates') !== undefined, 'the topic')
    vda.write(2, 2)
    world.arrive(vda.set())
    await world.time.until(() => world.drained('vda'), 'the set')
    expect(stateOfVda(world)).toBe('CONSISTENT')
    await world.stop()
  })

  test('like every other topic of Kafka B: positions are reported and requests sent again', async () => {
    const { world, vda } = await inSync()
    for (const topic of ['site-a.updates', 'site-a.disks', 'positions', 'requests']) {
      world.cluster.deleteTopic(topic)
    }
    await world.time.until(() => world.cluster.topic('requests') !== undefined, 'the topics')
    world.describe('vda')
    vda.write(2, 2)
    vda.set()
    vda.write(3, 3)
    world.arrive(vda.set())
    await world.time.until(() => world.requests().length > 0, 'a request')
    expect(world.reported('vda')).toMatchObject({ state: 'HALTED' })
    await world.stop()
  })

  test('and made again otherwise than we want them are not read, and the disks say why', async () => {
    const { world, vda } = await inSync()
    world.cluster.deleteTopic('site-a.updates')
    world.cluster.createTopic({ topic: 'site-a.updates', partitions: 1, config: {} })
    vda.write(2, 2)
    world.arrive(vda.set())
    await world.time.until(() => stateOfVda(world) === 'HALTED(TOPIC_MISMATCH)', 'the halt')
    expect(world.drained('vda')).toBe(false)
    world.wipeUpdates()
    world.heartbeat(heartbeatOf(vda))
    await world.time.until(() => world.requests().length > 0, 'what was lost to be asked for')
    expect(stateOfVda(world)).toBe('HALTED(GAP)')
    await world.stop()
  })

  test('before anything of them was read: a new client begins at the start of what there is then', async () => {
    const world = new TargetWorld(healingOptions)
    const vda = world.source('vda')
    let wiped = false
    world.wrapLog = (log) => {
      const ask = log.offsets.bind(log)
      log.offsets = (partition) => {
        if (!wiped) world.wipeUpdates()
        wiped = true
        return ask(partition)
      }
      return log
    }
    await world.start()
    await world.time.until(() => wiped, 'the topic to be made again')
    world.arrive(vda.fullSync())
    await world.time.until(() => world.drained('vda'), 'the disk')
    await world.stop()
  })

  test('with a gap found just before: it is asked for all the same', async () => {
    const { world, vda } = await inSync()
    const vdb = world.source('vdb')
    world.arrive(vdb.fullSync())
    await world.time.until(() => world.drained('vdb'), 'the neighbour')
    vda.write(2, 2)
    vda.set()
    vda.write(3, 3)
    vdb.write(4, 4)
    let wiped = false
    world.journalFaults = (operation) => {
      // The set of the neighbour is on its way into the journal, and with it the gap that stands behind it.
      if (operation === 'write' && !wiped) {
        wiped = true
        world.wipeUpdates()
      }
      return null
    }
    world.arrive(vda.set(), vdb.set())
    await world.time.until(() => world.requests().length > 0, 'a request')
    expect(world.requests()[0]).toMatchObject({ kind: 'resend', diskId: 'vda' })
    await world.stop()
  })
})

test('a Kafka B that cannot be reached shows on the disks before long, and no more once it is back', async () => {
  const { world, vda } = await inSync()
  world.cluster.setAvailable(false)
  await world.time.until(() => stateOfVda(world) === 'HALTED(MIRROR_UNREADABLE)', 'the halt', 20_000)
  vda.write(2, 2)
  world.cluster.setAvailable(true)
  world.arrive(vda.set())
  await world.time.until(() => world.drained('vda'), 'the set')
  expect(stateOfVda(world)).toBe('CONSISTENT')
  await world.stop()
})

describe('a partition without a leader (E2)', () => {
  /** vda in partition 0, vdb in partition 1, whose leader is gone. */
  function leaderless(options: object = {}) {
    const world = new TargetWorld({ ...healingOptions, ...options }, { partitions: 2 })
    const partition: Leaderless = { topic: 'site-a.updates', kafkaPartition: 1, isGone: true, asked: 0 }
    world.wrapLog = (log, clock) => leaderlessLog(log, partition, clock)
    return { world, partition, vda: world.source('vda'), vdb: world.source('vdb', null, 1) }
  }
  const codeOfVdb = (world: TargetWorld) => stateOf(world.live.volume.disk('vdb')).code

  test('from the start on does not keep the others from being read; its disks say so and come later', async () => {
    const { world, partition, vda, vdb } = leaderless()
    world.arrive(vda.fullSync(), vdb.fullSync())
    await world.start()
    await world.time.until(() => world.drained('vda'), 'the other partition', 2_000)
    await world.time.until(() => codeOfVdb(world) === 'MIRROR_UNREADABLE', 'the halt', 30_000)
    expect(stateOfVda(world)).toBe('CONSISTENT')
    partition.isGone = false
    await world.time.until(() => world.drained('vdb'), 'the partition, once it is led')
    expect(codeOfVdb(world)).toBe(null)
    await world.stop()
  })

  test('costs the others no time, and is asked ever less often', async () => {
    const { world, partition, vda, vdb } = leaderless({ fetchPartitionBytesMax: 1 })
    partition.isGone = false
    world.arrive(vda.fullSync(), vdb.fullSync())
    await world.start()
    await world.time.until(() => world.drained('vda') && world.drained('vdb'), 'the sync')
    partition.isGone = true
    await world.time.pass(3_000)
    partition.asked = 0
    // Each set takes a fetch of its own.
    for (let fill = 1; fill <= 50; fill += 1) {
      vda.write(fill, fill)
      world.arrive(vda.set())
    }
    const disk = world.live.volume.disk('vda')
    const isThere = () => disk.received.applied?.sequence === vda.position.sequence
    await world.time.until(isThere, 'the others', 1_000)
    await world.time.until(() => codeOfVdb(world) === 'MIRROR_UNREADABLE', 'the halt', 10_000)
    await world.time.pass(20_000)
    expect(partition.asked).toBeLessThan(10)
    expect(stateOfVda(world)).toBe('CONSISTENT')
    partition.isGone = false
    vdb.write(9, 9)
    world.arrive(vdb.set())
    await world.time.until(() => world.drained('vdb'), 'the partition, once it is led')
    expect(codeOfVdb(world)).toBe(null)
    await world.stop()
  })
})

describe('retention that takes what a parked disk had left in Kafka B', () => {
  const cut = (number: number) => {
    return { cutId: String(number).padStart(32, '0'), groupId: 'db', members: ['a', 'b'] }
  }

  test('costs that disk a re-send, and its neighbours nothing: they are not read again', async () => {
    const world = new TargetWorld({ ...healingOptions, journalDiskBytesMax: 12 * KiB })
    const vda = world.source('vda')
    const [a, b] = [world.source('a', 'db'), world.source('b', 'db')]
    world.arrive(vda.fullSync(), a.fullSync(), b.fullSync(), a.cut(cut(1)), b.cut(cut(1)))
    await world.start()
    await world.time.until(() => world.drained('a') && world.drained('b'), 'the first cut')
    // b is late: what a writes cannot be applied, and beyond its share it stays in Kafka B.
    for (let round = 2; round < 12; round += 1) {
      a.writeNoise(round, world.random, 4)
      vda.write(round, round, 4)
      world.arrive(a.set(), vda.set(), a.cut(cut(round)))
    }
    const { volume } = world.live
    await world.time.until(() => volume.disk('a').parked?.reason === 'share', 'the share to be full')
    await world.time.until(() => world.drained('vda'), 'the neighbour')
    const { cursors, stats } = volume
    const before = cursors.get(0) ?? 0n
    world.cluster.truncateBefore({ topic: 'site-a.updates', kafkaPartition: 0 }, before - 4n)
    for (let round = 2; round < 12; round += 1) world.arrive(b.cut(cut(round)))
    let lowest = before
    await world.time.until(() => {
      const cursor = cursors.get(0) ?? 0n
      if (cursor < lowest) lowest = cursor
      return world.requests().length > 0
    }, 'a request')
    expect(world.requests()).toMatchObject([{ kind: 'resend', diskId: 'a' }])
    expect(lowest).toBe(before)
    expect(stats.duplicatesDropped).toBe(0)
    await world.stop()
  })
})

test('a partition searched from its start while a disk is copied forward in the journal: its new sets stay behind the copies', async () => {
  const world = new TargetWorld({ ...healingOptions, journalCopyForwardBytes: 512 * KiB })
  world.journalBytesMax = 1024 * KiB
  const updates = { topic: 'site-a.updates', kafkaPartition: 0 }
  const vda = world.source('vda')
  const [a, b] = [world.source('a', 'db'), world.source('b', 'db')]
  const cut = { cutId: '1'.padStart(32, '0'), groupId: 'db', members: ['a', 'b'] }
  world.arrive(vda.fullSync(), a.fullSync(), b.fullSync(), a.cut(cut), b.cut(cut))
  await world.start()
  await world.time.until(() => world.drained('a') && world.drained('b'), 'the cut')
  a.write(1, 1)
  world.arrive(a.set())
  const disk = world.live.volume.disk('a')
  let failures = 0
  world.journalFaults = (operation) => {
    if (operation !== 'write' || failures >= 2 || !disk.copying) return null
    failures += 1
    if (failures > 1) return { code: 'ENOSPC' }
    // Retention takes a record that was not read yet; the next one of the disk is there.
    vda.zero(0, 1)
    a.write(2, 2)
    world.arrive(vda.set(), a.set())
    world.cluster.truncateBefore(updates, world.cluster.partition(updates).latest - 1n)
    return { code: 'ENOSPC' }
  }
  const filled = (): boolean => failures > 0
  while (!filled()) {
    vda.writeNoise(0, world.random, 80)
    world.arrive(vda.set())
    await world.time.until(() => world.drained('vda') || filled(), 'the neighbour')
  }
  await world.time.until(() => disk.received.applied?.sequence === a.position.sequence, 'the set')
  await world.time.until(() => !disk.copying, 'the copies')
  world.crash()
  await world.start()
  const again = world.live.volume.disk('a')
  expect(again.received.applied?.sequence).toBe(a.position.sequence)
  await world.stop()
})
