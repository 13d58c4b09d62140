import { describe, expect, test } from 'vitest'
import type { UpdateSet } from '@blockferry/disk-stream'
import { healingOptions, heartbeatOf, inSync, stateOfVda } from '../testing/in-sync.ts'
import type { TargetWorld } from '../testing/target-world.ts'
import type { TestSource } from '../testing/test-source.ts'

/** What was asked of the source, oldest first: kind, generation, first sequence. */
function asked(world: TargetWorld): readonly string[] {
  return world
    .requests()
    .map(({ kind, expectedGeneration, fromSequence }) => `${kind} ${expectedGeneration} ${fromSequence}`)
}

/** A disk that lost a set of generation 1, and whose source has begun a resync because of it. */
async function inResync(): Promise<{ world: TargetWorld; vda: TestSource }> {
  const { world, vda } = await inSync()
  vda.write(2, 2)
  vda.set()
  vda.write(3, 3)
  world.arrive(vda.set())
  world.heartbeat(heartbeatOf(vda))
  await world.time.until(() => asked(world).includes('resync 1 1'), 'the resync to be asked for')
  beginResync(world, vda)
  return { world, vda }
}

function beginResync(world: TargetWorld, vda: TestSource): void {
  vda.begin({ kind: 'full' })
  world.describe('vda')
}

/** The resync of the newest generation; its first set apart, for it may be lost. */
function resyncSets(vda: TestSource): { readonly first: UpdateSet; readonly rest: UpdateSet } {
  vda.write(1, 1)
  return { first: vda.set(), rest: vda.fullSync() }
}

async function expectWhole(world: TargetWorld, vda: TestSource): Promise<void> {
  await world.time.until(() => world.drained('vda'), 'the disk to be whole')
  expect(stateOfVda(world)).toBe('CONSISTENT')
  expect(world.imageOf('vda').equals(vda.bytes)).toBe(true)
  await world.stop()
}

describe('a resync whose own first set is lost', () => {
  test('is sent again from its first set (S9)', async () => {
    const { world, vda } = await inResync()
    const { first, rest } = resyncSets(vda)
    world.arrive(rest)
    await world.time.until(() => asked(world).includes('resend 2 1'), 'the re-send')
    expect(stateOfVda(world)).toBe('HALTED(GAP)')
    world.arrive(first, rest)
    await expectWhole(world, vda)
  })

  test('and cannot be sent again leads to the next one: the request names the generation that failed', async () => {
    const { world, vda } = await inResync()
    world.arrive(resyncSets(vda).rest)
    await world.time.until(() => asked(world).includes('resync 2 1'), 'the next resync')
    beginResync(world, vda)
    world.arrive(vda.fullSync())
    await expectWhole(world, vda)
  })

  test('together with everything after it is missed because heartbeats announce it', async () => {
    const { world, vda } = await inResync()
    resyncSets(vda)
    world.heartbeat(heartbeatOf(vda))
    await world.time.until(() => asked(world).includes('resync 2 1'), 'the next resync')
    expect(asked(world)).toContain('resend 2 1')
    beginResync(world, vda)
    world.arrive(vda.fullSync())
    await expectWhole(world, vda)
  })

  test('is not given up while it is still on its way', async () => {
    const { world, vda } = await inResync()
    const { first, rest } = resyncSets(vda)
    world.heartbeat(heartbeatOf(vda, { spooledEvents: vda.position.sequence }))
    await world.time.pass(5 * healingOptions.resyncRepeatMs)
    expect(asked(world).filter((request) => request.includes(' 2 '))).toEqual([])
    world.arrive(first, rest)
    await expectWhole(world, vda)
  })
})

test('a resync from a base that the target lacks is answered by a full one, whatever heartbeats have said', async () => {
  const { world, vda } = await inSync()
  const base = { ...vda.position, sequence: vda.position.sequence + 5 }
  vda.begin({ kind: 'position', position: base })
  world.describe('vda')
  const { first, rest } = resyncSets(vda)
  world.arrive(first, rest)
  await world.time.until(() => asked(world).length > 0, 'a request')
  expect(stateOfVda(world)).toBe('HALTED(BASE_BEHIND)')
  await world.time.pass(healingOptions.resendDeadlineMs)
  expect(asked(world)).toEqual(['resync 2 1'])
  beginResync(world, vda)
  world.arrive(vda.fullSync())
  await expectWhole(world, vda)
})

test('a generation that goes on from what was lost of the one before: asked for again, then overtaken by a resync', async () => {
  const { world, vda } = await inSync()
  const received = vda.position.sequence
  vda.write(2, 2)
  vda.set()
  vda.begin({ kind: 'none' })
  world.describe('vda')
  vda.write(3, 3)
  world.arrive(vda.set())
  await world.time.until(() => asked(world).length >= 2, 'the requests')
  // The source has left generation 1: a request that names it is about the past.
  expect(asked(world)).toEqual([`resend 1 ${received + 1}`, 'resync 2 1'])
  beginResync(world, vda)
  world.arrive(vda.fullSync())
  await expectWhole(world, vda)
})

describe('a batch that the journal refuses', () => {
  test.for([
    ['write', 'ENOSPC'],
    ['sync', 'EIO'],
  ] as const)(
    'for a failed %s (%s) takes its halts with it: the gap in it is found again',
    async ([operation, code]) => {
      const { world, vda } = await inSync()
      const vdb = world.source('vdb')
      world.arrive(vdb.fullSync())
      await world.time.until(() => world.drained('vdb'), 'the neighbour')
      vda.write(2, 2)
      const lost = vda.set()
      vda.write(3, 3)
      const next = vda.set()
      vdb.write(4, 4)
      let failures = 1
      world.journalFaults = (asked) => (asked === operation && failures-- > 0 ? { code } : null)
      world.arrive(next, vdb.set())
      await world.time.until(() => world.drained('vdb'), 'the neighbour, once the journal takes it')
      await world.time.until(() => asked(world).some((request) => request.startsWith('resend')), 'a re-send')
      expect(failures).toBeLessThan(1)
      world.arrive(lost, next)
      await expectWhole(world, vda)
    },
  )
})

test('a gap is read again once, not once more for every set that comes after it', async () => {
  const { world, vda } = await inSync()
  vda.write(2, 2)
  vda.set()
  for (let fill = 3; fill < 9; fill += 1) {
    vda.write(fill, fill)
    world.arrive(vda.set())
    await world.time.pass(100)
  }
  expect(stateOfVda(world)).toBe('HALTED(GAP)')
  expect(world.live.volume.stats.parked).toBeLessThanOrEqual(1)
  expect(asked(world)).toHaveLength(1)
  await world.stop()
})

test('a gap whose records can be read at the second look needs nobody else', async () => {
  const { world, vda } = await inSync()
  const updates = { topic: 'site-a.updates', kafkaPartition: 0 }
  const flipBit = (value: Buffer): Buffer => {
    value[value.length - 1]! ^= 1
    return value
  }
  vda.write(2, 2)
  world.arrive(vda.set())
  world.cluster.corruptValue(updates, 1n, flipBit)
  await world.time.until(() => world.live.volume.stats.undecodable > 0, 'the record to be passed over')
  world.cluster.corruptValue(updates, 1n, flipBit)
  vda.write(3, 3)
  world.arrive(vda.set())
  await expectWhole(world, vda)
  expect(asked(world)).toEqual([])
})

test('a gap right after the first set that a disk ever had is healed until it is closed', async () => {
  const { world } = await inSync()
  const vdb = world.source('vdb')
  const first = vdb.fullSync()
  vdb.write(2, 2)
  vdb.set()
  vdb.write(3, 3)
  world.arrive(first, vdb.set())
  await world.time.until(() => asked(world).includes('resync 1 1'), 'the resync')
  expect(world.requests().every(({ diskId }) => diskId === 'vdb')).toBe(true)
  expect(world.live.volume.disk('vdb').halt?.code).toBe('GAP')
  await world.stop()
})

test('a generation of another site has its own wait for its owner, however an earlier one ended (S9)', async () => {
  const { world, vda } = await inSync({ ownerWaitMs: 500 })
  const ofSiteB = (set: UpdateSet) => ({ ...set, generation: { ...set.generation, ownerSite: 'site-b' } })
  vda.begin({ kind: 'full' })
  world.arrive(ofSiteB(vda.fullSync()))
  await world.time.until(() => stateOfVda(world) === 'HALTED(SPLIT_BRAIN)', 'the first wait to end')
  vda.begin({ kind: 'full' })
  world.arrive(ofSiteB(vda.fullSync()))
  await world.time.pass(200)
  world.describe('vda', null, 'site-b')
  await expectWhole(world, vda)
  expect(asked(world)).toEqual([])
})
