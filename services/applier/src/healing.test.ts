import { describe, expect, test } from 'vitest'
import { healingOptions as options, heartbeatOf, inSync, stateOfVda } from '../testing/in-sync.ts'
import { TargetWorld } from '../testing/target-world.ts'

describe('a gap', () => {
  test('halts the disk, asks for a re-send from the first missing sequence, and ends with it', async () => {
    const { world, vda } = await inSync()
    const received = vda.position.sequence
    vda.write(2, 2)
    const missing = vda.set()
    vda.write(3, 3)
    const next = vda.set()
    world.arrive(next)
    await world.time.until(() => world.requests().length > 0, 'a request')
    expect(stateOfVda(world)).toBe('HALTED(GAP)')
    expect(world.requests()).toMatchObject([{ kind: 'resend', diskId: 'vda', fromSequence: received + 1 }])
    expect(world.reported('vda')?.sequence).toBe(received)
    world.arrive(missing, next)
    await world.time.until(() => world.drained('vda'), 'the re-sent sets')
    expect(stateOfVda(world)).toBe('CONSISTENT')
    expect(world.imageOf('vda').equals(vda.bytes)).toBe(true)
    await world.stop()
  })

  test('that no re-send heals in time leads to a full resync, asked for again until it comes', async () => {
    const { world, vda } = await inSync()
    vda.write(2, 2)
    vda.set()
    vda.write(3, 3)
    world.arrive(vda.set())
    await world.time.until(() => world.requests().length >= 3, 'the requests')
    expect(world.requests().map((request) => request.kind)).toEqual(['resend', 'resync', 'resync'])
    vda.begin({ kind: 'full' })
    world.describe('vda')
    world.arrive(vda.fullSync())
    await world.time.until(() => world.drained('vda'), 'the resync')
    expect(stateOfVda(world)).toBe('CONSISTENT')
    expect(world.imageOf('vda').equals(vda.bytes)).toBe(true)
    await world.stop()
  })

  test('that no later set shows is seen by what heartbeats announce', async () => {
    const { world, vda } = await inSync()
    vda.write(2, 2)
    vda.set()
    world.heartbeat(heartbeatOf(vda))
    await world.time.until(() => world.requests().length > 0, 'a request')
    expect(stateOfVda(world)).toBe('HALTED(GAP)')
    await world.stop()
  })

  test('that is being sent again is not asked for again while it arrives', async () => {
    const { world, vda } = await inSync()
    const lost = Array.from({ length: 12 }, (_, at) => {
      vda.write(2, at + 1)
      return vda.set()
    })
    world.heartbeat(heartbeatOf(vda))
    await world.time.until(() => world.requests().length > 0, 'a request')
    for (const set of lost) {
      world.arrive(set)
      await world.time.pass(500)
    }
    expect(world.drained('vda')).toBe(true)
    expect(world.requests()).toHaveLength(1)
    await world.stop()
  })

  test('is not suspected while what is announced is still in the spool', async () => {
    const { world, vda } = await inSync()
    vda.write(2, 2)
    vda.set()
    world.heartbeat(heartbeatOf(vda, { spooledEvents: 1 }))
    await world.time.pass(5_000)
    expect(world.requests()).toEqual([])
    await world.stop()
  })

  test('is not suspected once what was announced has come, though heartbeats stay away from then on', async () => {
    const { world, vda } = await inSync()
    vda.write(2, 2)
    const late = vda.set()
    world.heartbeat(heartbeatOf(vda))
    await world.time.pass(100)
    world.arrive(late)
    await world.time.pass(5_000)
    expect(stateOfVda(world)).not.toBe('HALTED(GAP)')
    expect(world.requests()).toEqual([])
    await world.stop()
  })

  test('of one disk does not stop its neighbour in the same partition', async () => {
    const { world, vda } = await inSync()
    const vdb = world.source('vdb')
    vda.write(2, 2)
    vda.set()
    vda.write(3, 3)
    vdb.write(4, 4)
    world.arrive(vda.set(), vdb.fullSync())
    await world.time.until(() => world.drained('vdb'), 'the neighbour')
    expect(stateOfVda(world)).toBe('HALTED(GAP)')
    await world.stop()
  })
})

describe('other histories', () => {
  test('a duplicate is dropped and counted', async () => {
    const { world, vda } = await inSync()
    vda.write(2, 2)
    const set = vda.set()
    world.arrive(set, set, set)
    await world.time.until(() => world.live.volume.stats.duplicatesDropped === 2, 'the duplicates')
    expect(world.live.volume.stats.setsAccepted).toBe(2)
    await world.stop()
  })

  test('another chain at the same numbers halts as DIVERGED and is never applied', async () => {
    const { world, vda } = await inSync()
    const before = world.imageOf('vda')
    vda.write(2, 2)
    const set = vda.set()
    world.arrive({ ...set, chainBefore: set.chainBefore ^ 1 })
    await world.time.until(() => stateOfVda(world) === 'HALTED(DIVERGED)', 'the halt')
    await world.time.pass(1_000)
    expect(world.imageOf('vda').equals(before)).toBe(true)
    await world.stop()
  })

  test('a newer generation of a site that does not own the disk is SPLIT_BRAIN after a bounded wait, without a request', async () => {
    const { world, vda } = await inSync({ ownerWaitMs: 500 })
    vda.begin({ kind: 'full' })
    const generation = { ...vda.generation, ownerSite: 'site-b' }
    world.arrive({ ...vda.fullSync(), generation })
    await world.time.pass(200)
    expect(stateOfVda(world)).toBe('CONSISTENT')
    await world.time.until(() => stateOfVda(world) === 'HALTED(SPLIT_BRAIN)', 'the halt')
    expect(world.requests()).toEqual([])
    await world.stop()
  })

  test('a disk that nobody has described waits, visibly, and is taken up when its descriptor comes', async () => {
    const world = new TargetWorld(options)
    const vda = world.source('vda')
    world.cluster.truncateFrom({ topic: 'site-a.disks', kafkaPartition: 0 }, 0n)
    world.arrive(vda.fullSync())
    await world.start()
    await world.time.until(() => stateOfVda(world) === 'WAITING(DESCRIPTOR_MISSING)', 'the wait')
    world.describe('vda')
    await world.time.until(() => world.drained('vda'), 'the disk')
    await world.stop()
  })
})

describe('a record that cannot be read', () => {
  const updates = { topic: 'site-a.updates', kafkaPartition: 0 }

  test('halts its disk with the code; a re-send heals it', async () => {
    const { world, vda } = await inSync()
    vda.write(2, 2)
    const damaged = vda.set()
    vda.write(3, 3)
    const next = vda.set()
    world.arrive(damaged)
    world.cluster.corruptValue(updates, 1n, (value) => {
      const flipped = Buffer.from(value)
      flipped[flipped.length - 1]! ^= 1
      return flipped
    })
    world.arrive(next)
    await world.time.until(() => world.requests().length > 0, 'a request')
    expect(stateOfVda(world)).toBe('HALTED(GAP)')
    expect(world.live.volume.stats.undecodable).toBeGreaterThan(0)
    world.arrive(damaged, next)
    await world.time.until(() => world.drained('vda'), 'the re-sent sets')
    expect(stateOfVda(world)).toBe('CONSISTENT')
    await world.stop()
  })

  test('because this service is too old for it is waited at, not passed; neighbours go on', async () => {
    const { world, vda } = await inSync()
    const vdb = world.source('vdb')
    vda.write(2, 2)
    world.arrive(vda.set())
    let original = Buffer.alloc(0)
    world.cluster.corruptValue(updates, 1n, (value) => {
      original = Buffer.from(value)
      return Buffer.concat([Buffer.from('c3010011223344556677', 'hex'), value.subarray(10)])
    })
    vdb.write(4, 4)
    vda.write(3, 3)
    world.arrive(vdb.fullSync(), vda.set())
    await world.time.until(() => stateOfVda(world) === 'HALTED(UNKNOWN_SCHEMA)', 'the halt')
    await world.time.until(() => world.drained('vdb'), 'the neighbour')
    expect(world.requests()).toEqual([])
    world.cluster.corruptValue(updates, 1n, () => original)
    await world.time.until(() => world.drained('vda'), 'the disk after the upgrade')
    expect(stateOfVda(world)).toBe('CONSISTENT')
    await world.stop()
  })
})

describe('Kafka B', () => {
  test('emptied and begun again is searched from its start, by position', async () => {
    const { world, vda } = await inSync()
    vda.write(2, 2)
    const set = vda.set()
    world.cluster.truncateFrom({ topic: 'site-a.updates', kafkaPartition: 0 }, 0n)
    await world.time.pass(1_000)
    world.arrive(set)
    await world.time.until(() => world.drained('vda'), 'the set')
    expect(stateOfVda(world)).toBe('CONSISTENT')
    await world.stop()
  })

  test('with another topic of the same name: offsets of the old one are not believed', async () => {
    const { world, vda } = await inSync()
    await world.stop()
    world.wipeUpdates()
    vda.write(2, 2)
    world.arrive(vda.set())
    await world.start()
    await world.time.until(() => world.drained('vda'), 'the set')
    await world.stop()
  })

  test('gone does not touch the image: what is in the journal is applied without it', async () => {
    const { world, vda } = await inSync({ applyIntervalMs: 3_000 })
    vda.write(2, 2)
    world.arrive(vda.set())
    const disk = world.live.volume.disk('vda')
    await world.time.until(
      () => disk.received.applied?.sequence === vda.position.sequence,
      'the set in the journal',
    )
    world.crash()
    world.cluster.setAvailable(false)
    await world.start()
    await world.time.until(() => world.drained('vda'), 'the journal to be applied')
    expect(world.imageOf('vda').equals(vda.bytes)).toBe(true)
    world.crash()
  })
})

describe('the redo journal', () => {
  test('that rotted is cut at the bad frame by the next start; what followed is fetched again', async () => {
    const { world, vda } = await inSync({ applyIntervalMs: 3_000 })
    for (let fill = 2; fill < 5; fill += 1) {
      vda.write(fill, fill)
      world.arrive(vda.set())
    }
    const disk = world.live.volume.disk('vda')
    await world.time.until(
      () => disk.received.applied?.sequence === vda.position.sequence,
      'the sets in the journal',
    )
    const rotten = disk.frames.first?.lsn ?? 0
    const segmentBytes = 64 * 1024
    const name = (await world.journal.open().list())[Math.floor(rotten / segmentBytes)] ?? ''
    world.journal.mediumOf(name).flipBit((rotten % segmentBytes) + 100, 3)
    await world.time.until(() => world.log.some((line) => line.startsWith('broken')), 'the process to end')
    expect(world.log.findLast((line) => line.startsWith('broken'))).toContain('frame')
    world.crash()
    await world.start()
    await world.time.until(() => world.drained('vda'), 'the sets from Kafka B')
    expect(world.imageOf('vda').equals(vda.bytes)).toBe(true)
    expect(world.requests()).toEqual([])
    await world.stop()
  })
})

test('a journal that rotted where frames are copied forward ends the process, as anywhere else', async () => {
  const world = new TargetWorld({ ...options, journalCopyForwardBytes: 512 * 1024 })
  world.journalBytesMax = 1024 * 1024
  const vda = world.source('vda')
  const [a, b] = [world.source('a', 'db'), world.source('b', 'db')]
  const cut = { cutId: '1'.padStart(32, '0'), groupId: 'db', members: ['a', 'b'] }
  world.arrive(vda.fullSync(), a.fullSync(), b.fullSync(), a.cut(cut), b.cut(cut))
  await world.start()
  await world.time.until(() => world.drained('a') && world.drained('b'), 'the cut')
  a.write(1, 1)
  world.arrive(a.set())
  const disk = world.live.volume.disk('a')
  await world.time.until(() => disk.frames.first !== undefined, 'a frame that waits')
  const rotten = disk.frames.first?.lsn ?? 0
  const starts = await world.journal.open().list()
  const name = starts.find((each) => Number.parseInt(each, 10) === Math.floor(rotten / 65_536) * 65_536) ?? ''
  world.journal.mediumOf(name).flipBit((rotten % 65_536) + 100, 3)
  const broken = (): boolean => world.log.some((line) => line.startsWith('broken'))
  while (!broken()) {
    vda.writeNoise(0, world.random, 80)
    world.arrive(vda.set())
    await world.time.until(() => world.drained('vda') || broken(), 'the neighbour, or the end')
  }
  world.crash()
  await world.start()
  b.write(2, 2)
  const next = { ...cut, cutId: '2'.padStart(32, '0') }
  world.arrive(b.set(), a.cut(next), b.cut(next))
  await world.time.until(() => world.drained('a') && world.drained('vda'), 'everything from Kafka B')
  expect(world.imageOf('a').equals(a.bytes)).toBe(true)
  await world.stop()
})

describe('a disk without a target here', () => {
  test('is neither received nor reported: another applier may have it', async () => {
    const { world } = await inSync()
    world.foreign.add('vdx')
    const vdx = world.source('vdx')
    vdx.write(1, 1)
    world.arrive(vdx.fullSync())
    await world.time.pass(3_000)
    expect(world.reported('vdx')).toBe(null)
    expect(world.live.volume.disks.has('vdx')).toBe(false)
    expect(world.log.filter((line) => line.includes('vdx has no target'))).toHaveLength(1)
    await world.stop()
  })
})
