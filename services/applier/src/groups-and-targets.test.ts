import { describe, expect, test } from 'vitest'
import type { BlockDevice } from '@blockferry/storage'
import { failing } from '@blockferry/storage'
import { KiB } from '@blockferry/runtime'
import { isOpenable, stateOf } from './disk/disk-state.ts'
import type { TestSource } from '../testing/test-source.ts'
import { TargetWorld } from '../testing/target-world.ts'

const fast = { applyIntervalMs: 50, reportIntervalMsMin: 20 }

function shown(world: TargetWorld, diskId: string): string {
  const { state, code } = stateOf(world.live.volume.disk(diskId))
  return code === null ? state : `${state}(${code})`
}

function group(number: number): { cutId: string; groupId: string; members: string[] } {
  return { cutId: number.toString(16).padStart(32, '0'), groupId: 'db', members: ['a', 'b'] }
}

/** Disks a and b of group db, synced and standing at cut 1. */
async function groupInSync(): Promise<{ world: TargetWorld; a: TestSource; b: TestSource }> {
  const world = new TargetWorld(fast)
  const [a, b] = [world.source('a', 'db'), world.source('b', 'db')]
  for (const disk of [a, b]) disk.write(1, 1, 10)
  world.arrive(a.fullSync(), b.fullSync(), a.cut(group(1)), b.cut(group(1)))
  await world.start()
  await world.time.until(() => world.drained('a') && world.drained('b'), 'the first cut')
  return { world, a, b }
}

describe('a group', () => {
  test('advances only to cuts that every member has; receiving goes on', async () => {
    const { world, a, b } = await groupInSync()
    const atFirstCut = world.imageOf('a')
    a.write(2, 2)
    world.arrive(a.set(), a.cut(group(2)))
    a.write(3, 3)
    world.arrive(a.set())
    await world.time.pass(2_000)
    expect(world.imageOf('a').equals(atFirstCut)).toBe(true)
    expect(world.reported('a')?.sequence).toBe(a.position.sequence)
    const [cutOfB, atSecondCut] = [b.cut(group(2)), a.imageAt.get(`1.${a.position.sequence - 1}`)]
    world.arrive(cutOfB)
    await world.time.until(() => world.drained('b'), 'the second cut')
    expect(world.imageOf('a').equals(atSecondCut ?? Buffer.alloc(0))).toBe(true)
    expect(world.live.volume.disk('a').cut?.cutId).toBe(group(2).cutId)
    await world.stop()
  })

  test('counts a cut that one member never had as void and never offers it', async () => {
    const { world, a, b } = await groupInSync()
    world.arrive(a.cut(group(2)), a.cut(group(3)), b.cut(group(3)))
    await world.time.until(() => world.drained('a') && world.drained('b'), 'the third cut')
    const { recoveryPoints } = world.live.volume.index.query({ groupId: 'db', limit: 10, cursor: null })
    expect(recoveryPoints.map((point) => point.cutId)).toEqual([group(3).cutId, group(1).cutId])
    expect(world.live.volume.cuts.voidCount).toBe(1)
    await world.stop()
  })

  test('whose member is resynced offers nothing of it, and meets again at the next cut', async () => {
    const { world, a, b } = await groupInSync()
    b.begin({ kind: 'full' })
    world.describe('b', 'db')
    b.write(4, 4)
    world.arrive(b.set())
    await world.time.until(() => shown(world, 'b') === 'RESYNCING', 'the resync')
    await world.time.until(() => world.drained('b'), 'its sets')
    expect(isOpenable(world.live.volume.disk('b'))).toBe(false)
    expect(world.live.lag.sample(world.live.volume.disk('a')).groupState).toBe('RESYNCING')
    a.write(5, 5)
    world.arrive(a.set(), b.fullSync(), a.cut(group(2)), b.cut(group(2)))
    await world.time.until(() => world.drained('a') && world.drained('b'), 'the second cut')
    expect(isOpenable(world.live.volume.disk('b'))).toBe(true)
    for (const disk of [a, b]) expect(world.imageOf(disk.diskId).equals(disk.bytes)).toBe(true)
    await world.stop()
  })

  test('does not stand at a cut that one member has left behind in a resync (G3)', async () => {
    const { world, a, b } = await groupInSync()
    b.write(2, 2)
    world.arrive(a.cut(group(2)), b.set())
    a.begin({ kind: 'full' })
    world.describe('a', 'db')
    a.write(3, 3)
    world.arrive(a.fullSync())
    await world.time.until(() => world.drained('a'), 'the resync')
    expect(isOpenable(world.live.volume.disk('a'))).toBe(false)
    // The mirror brings the other half of the second cut only now.
    world.arrive(b.cut(group(2)))
    await world.time.pass(2_000)
    expect(world.live.volume.disk('b').cut?.cutId).toBe(group(1).cutId)
    b.write(4, 4)
    world.arrive(b.set(), a.cut(group(3)), b.cut(group(3)))
    await world.time.until(() => world.drained('a') && world.drained('b'), 'the third cut')
    for (const disk of [a, b]) {
      expect(isOpenable(world.live.volume.disk(disk.diskId))).toBe(true)
      expect(world.imageOf(disk.diskId).equals(disk.bytes)).toBe(true)
    }
    const { recoveryPoints } = world.live.volume.index.query({ groupId: 'db', limit: 10, cursor: null })
    expect(recoveryPoints.map((point) => point.cutId)).toEqual([3, 2, 1].map((cut) => group(cut).cutId))
    await world.stop()
  })

  test('whose member is in a resync for so long that another fills its share goes on afterwards', async () => {
    const world = new TargetWorld({ ...fast, journalDiskBytesMax: 64 * KiB })
    const [a, b] = [world.source('a', 'db'), world.source('b', 'db')]
    world.arrive(a.fullSync(), b.fullSync(), a.cut(group(1)), b.cut(group(1)))
    await world.start()
    await world.time.until(() => world.drained('a') && world.drained('b'), 'the first cut')
    a.begin({ kind: 'full' })
    world.describe('a', 'db')
    a.write(1, 1)
    world.arrive(a.set())
    // No cut can be made meanwhile (S6), and b is busy.
    for (let round = 0; round < 20; round += 1) {
      b.writeNoise(0, world.random, 80)
      world.arrive(b.set())
      await world.time.pass(300)
    }
    expect(isOpenable(world.live.volume.disk('b'))).toBe(false)
    world.arrive(a.fullSync(), a.cut(group(2)), b.cut(group(2)))
    await world.time.until(() => world.drained('a') && world.drained('b'), 'the second cut')
    for (const disk of [a, b]) {
      expect(isOpenable(world.live.volume.disk(disk.diskId))).toBe(true)
      expect(world.imageOf(disk.diskId).equals(disk.bytes)).toBe(true)
    }
    await world.stop()
  })

  test('with a member whose target fails stands still as a whole; a disk alone goes on', async () => {
    const { world, a, b } = await groupInSync()
    let broken = true
    const fail = (device: BlockDevice): BlockDevice =>
      failing(device, () => (broken ? { code: 'EIO' } : null))
    world.wrapDevice = (device, diskId) => (diskId === 'b' ? fail(device) : device)
    world.crash()
    await world.start()
    const vda = world.source('vda')
    vda.write(1, 1)
    for (const disk of [a, b]) disk.write(6, 6)
    world.arrive(vda.fullSync(), a.set(), b.set(), a.cut(group(2)), b.cut(group(2)))
    await world.time.until(() => shown(world, 'b') === 'HALTED(TARGET_FAILED)', 'the halt')
    await world.time.until(() => world.drained('vda'), 'the disk alone')
    expect(world.drained('a')).toBe(false)
    expect(isOpenable(world.live.volume.disk('a'))).toBe(false)
    broken = false
    await world.time.until(() => world.drained('a') && world.drained('b'), 'the repair')
    expect(shown(world, 'b')).toBe('CONSISTENT')
    for (const disk of [a, b]) expect(world.imageOf(disk.diskId).equals(disk.bytes)).toBe(true)
    await world.stop()
  })
})

describe('a target', () => {
  test('that is refused is not written; its stream is received all the same, and applied once it is right', async () => {
    const world = new TargetWorld(fast)
    world.refuseImage = 'the image of another disk'
    const vda = world.source('vda')
    vda.write(1, 1)
    world.arrive(vda.fullSync())
    await world.start()
    await world.time.until(() => shown(world, 'vda') === 'HALTED(IMAGE_OF_OTHER_DISK)', 'the refusal')
    await world.time.until(() => world.reported('vda')?.sequence === vda.position.sequence, 'the receipt')
    expect(world.imageOf('vda').every((byte) => byte === 0)).toBe(true)
    world.refuseImage = null
    await world.time.until(() => world.drained('vda'), 'the right image')
    expect(shown(world, 'vda')).toBe('CONSISTENT')
    await world.stop()
  })

  test.each(['write', 'zero', 'flush'] as const)(
    'whose %s fails once is written again and claims nothing before',
    async (operation) => {
      const world = new TargetWorld(fast)
      world.wrapDevice = (device) =>
        failing(device, (call) =>
          call.operation === operation && call.nth === 1 && world.time.nowMs < 500
            ? { code: 'ENOSPC', short: true }
            : null,
        )
      const vda = world.source('vda')
      vda.write(1, 1, 40)
      world.arrive(vda.fullSync())
      await world.start()
      await world.time.until(() => shown(world, 'vda') === 'HALTED(TARGET_FAILED)', 'the failure')
      expect(world.live.volume.disk('vda').applied.applied).toBe(null)
      await world.time.until(() => world.drained('vda'), 'another try')
      expect(world.imageOf('vda').equals(vda.bytes)).toBe(true)
      expect(shown(world, 'vda')).toBe('CONSISTENT')
      await world.stop()
    },
  )

  test('gets its holes back: zero events punch, and nothing is written where the source has none', async () => {
    const world = new TargetWorld(fast)
    const vda = world.source('vda')
    vda.write(0, 1, 64)
    world.arrive(vda.fullSync())
    vda.zero(0, 48)
    world.arrive(vda.set())
    await world.start()
    await world.time.until(() => world.drained('vda'), 'the zeroing')
    expect(world.images.get('vda')?.allocatedBytes).toBe(16 * 512)
    await world.stop()
  })
})

describe('the journal', () => {
  test('leaves a disk at its share in Kafka B, visibly, while its neighbours go on; it catches up later', async () => {
    const world = new TargetWorld({ ...fast, journalDiskBytesMax: 12 * KiB })
    const vda = world.source('vda')
    const [a, b] = [world.source('a', 'db'), world.source('b', 'db')]
    world.arrive(vda.fullSync(), a.fullSync(), b.fullSync(), a.cut(group(1)), b.cut(group(1)))
    await world.start()
    await world.time.until(() => world.drained('a') && world.drained('b'), 'the first cut')
    // b is late: what a writes cannot be applied and fills its share.
    for (let round = 2; round < 12; round += 1) {
      a.writeNoise(round, world.random, 4)
      vda.write(round, round + 1, 4)
      world.arrive(a.set(), vda.set(), a.cut(group(round)))
    }
    await world.time.until(() => shown(world, 'a').endsWith('(JOURNAL_SHARE)'), 'the share to be full')
    await world.time.until(() => world.drained('vda'), 'the neighbour')
    expect(world.live.volume.disk('a').frames.bytes).toBeLessThanOrEqual(12 * KiB)
    expect(world.live.lag.sample(world.live.volume.disk('a')).stages.receivedMs).toBeGreaterThan(0)
    // A restart in this state forgets nothing.
    world.crash()
    await world.start()
    await world.time.pass(500)
    expect(world.drained('a')).toBe(false)
    for (let round = 2; round < 12; round += 1) world.arrive(b.cut(group(round)))
    await world.time.until(() => world.drained('a') && world.drained('b'), 'the last cut')
    expect(world.imageOf('a').equals(a.bytes)).toBe(true)
    expect(world.requests()).toEqual([])
    expect(
      world.live.volume.index.query({ groupId: 'db', limit: 100, cursor: null }).recoveryPoints,
    ).toHaveLength(11)
    await world.stop()
  })

  test('copies what cannot advance forward, gives the space back, and still replays it in order', async () => {
    const world = new TargetWorld({ ...fast, journalCopyForwardBytes: 512 * KiB })
    world.journalBytesMax = 1024 * KiB
    const vda = world.source('vda')
    const [a, b] = [world.source('a', 'db'), world.source('b', 'db')]
    world.arrive(vda.fullSync(), a.fullSync(), b.fullSync(), a.cut(group(1)), b.cut(group(1)))
    await world.start()
    for (let round = 0; round < 5; round += 1) {
      a.write(round, round + 1, 4)
      world.arrive(a.set())
    }
    // The neighbour's writes fill the journal many times over.
    for (let round = 0; round < 60; round += 1) {
      vda.writeNoise(0, world.random, 80)
      world.arrive(vda.set())
      await world.time.until(() => world.drained('vda'), 'the neighbour')
    }
    expect(world.live.volume.stats.framesCopiedForward).toBeGreaterThan(0)
    expect(world.live.volume.journal.allocatedBytes).toBeLessThan(1024 * KiB)
    a.write(60, 60)
    world.arrive(a.set(), a.cut(group(2)))
    await world.time.until(() => world.reported('a')?.sequence === a.position.sequence, 'a to go on')
    world.crash()
    await world.start()
    world.arrive(b.cut(group(2)))
    await world.time.until(() => world.drained('a') && world.drained('b'), 'the second cut')
    expect(world.imageOf('a').equals(a.bytes)).toBe(true)
    expect(world.requests()).toEqual([])
    await world.stop()
  })

  test('that is full acknowledges nothing, halts its disks with the code, and goes on once there is room', async () => {
    const world = new TargetWorld(fast)
    world.journalBytesMax = 128 * KiB
    const vda = world.source('vda')
    world.refuseImage = 'not yet'
    world.arrive(vda.fullSync())
    await world.start()
    for (let round = 0; round < 6; round += 1) {
      vda.writeNoise(0, world.random, 80)
      world.arrive(vda.set())
      await world.time.pass(300)
    }
    const disk = world.live.volume.disk('vda')
    expect(disk.haltedBy('journal')?.code).toBe('LOG_FULL')
    expect(world.everyReceived('vda')).not.toContain(`1.${vda.position.sequence}`)
    world.refuseImage = null
    await world.time.until(() => world.drained('vda'), 'the room')
    expect(world.imageOf('vda').equals(vda.bytes)).toBe(true)
    expect(shown(world, 'vda')).toBe('CONSISTENT')
    await world.stop()
  })
})
