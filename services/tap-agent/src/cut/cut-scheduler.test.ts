import { KiB } from '@blockferry/runtime'
import { describe, expect, test } from 'vitest'
import type { TapDisk } from '../disk/tap-disk.ts'
import { applyEvent, DiskBench, pattern, type StreamEntry } from '../testing/disk-bench.ts'
import { World } from '../testing/world.ts'
import { CutScheduler, groupsOf, type RecoveryPoint } from './cut-scheduler.ts'

const seeds = Array.from(
  { length: process.env['BLOCKFERRY_TEST_COUNTS'] === 'long' ? 300 : 30 },
  (_, at) => at + 1,
)

async function openGroup(seed: number) {
  const world = new World(seed)
  const benches = ['vda', 'vdb'].map((diskId) => new DiskBench({ seed, diskId, groupId: 'db', world }))
  const disks = new Map<string, TapDisk>()
  for (const bench of benches) disks.set(bench.options.diskId, await bench.openStreaming())
  const cut: RecoveryPoint[] = []
  const scheduler = new CutScheduler({
    clock: world.clock(benches[0]?.life ?? expect.fail()),
    random: world.random,
    groups: groupsOf(benches.map(({ options }) => ({ diskId: options.diskId, groupId: 'db' }))),
    diskOf: (diskId) => disks.get(diskId),
    onCut: (point, isWhole) => {
      if (isWhole) cut.push(point)
    },
  })
  return { world, benches, disks: [...disks.values()], scheduler, cut }
}

/** Counter in the first bytes of a disk's image at a cut. */
function counterAt(entries: readonly StreamEntry[], cutId: string): number | null {
  const image = Buffer.alloc(4 * KiB)
  for (const { data, event } of entries) {
    if (event.kind === 'recoveryPoint' && event.cutId === cutId) return image.readUInt32LE(0)
    if (event.kind === 'write' && event.byteOffset === 0) applyEvent(image, event, data)
  }
  return null
}

function counterBlock(value: number): Buffer {
  const block = pattern(4 * KiB, 1)
  block.writeUInt32LE(value, 0)
  return block
}

describe('a recovery point of a group (S6)', () => {
  test.each(seeds)(
    'never holds a later write without the earlier one of the other disk (seed %i)',
    async (seed) => {
      const { benches, cut, disks, scheduler, world } = await openGroup(seed)
      const guestState = { writing: true }
      // B is written only after A completed: at every cut A's counter is at or above B's, by at most one.
      const guest = async () => {
        for (let value = 1; value <= 25; value += 1) {
          for (const disk of disks) {
            const data = counterBlock(value)
            await disk.path.change({ kind: 'write', byteOffset: 0, data }, { fua: false })
          }
        }
        guestState.writing = false
      }
      const cutter = async () => {
        while (guestState.writing) {
          await scheduler.cutDue()
          await world.step(benches[0]?.life ?? expect.fail())
        }
      }
      await world.settle(Promise.all([guest(), cutter()]), 'writes and cuts')
      const [a, b] = await Promise.all(benches.map((bench) => bench.stream()))
      expect(cut.length).toBeGreaterThan(3)
      for (const { cutId } of cut) {
        const inA = counterAt(a ?? [], cutId)
        const inB = counterAt(b ?? [], cutId)
        expect(inA).not.toBeNull()
        expect(inB).not.toBeNull()
        expect((inA ?? 0) - (inB ?? 0)).toBeGreaterThanOrEqual(0)
        expect((inA ?? 0) - (inB ?? 0)).toBeLessThanOrEqual(1)
      }
    },
  )

  test('is not cut by itself while nothing is written', async () => {
    const { cut, disks, scheduler, world } = await openGroup(1)
    await world.settle(scheduler.cutDue())
    const before = cut.length
    await world.settle(scheduler.cutDue())
    expect(cut).toHaveLength(before)
    const data = pattern(512, 3)
    await world.settle(
      disks[1]?.path.change({ kind: 'write', byteOffset: 0, data }, { fua: false }) ?? expect.fail(),
    )
    await world.settle(scheduler.cutDue())
    expect(cut).toHaveLength(before + 1)
  })

  test('is cut again when a kill left its last mark in one spool only: that cut is void (S6)', async () => {
    const { benches, cut, disks, scheduler, world } = await openGroup(4)
    await world.settle(scheduler.cutDue())
    const mark = { groupId: 'db', members: ['vda', 'vdb'], name: null, requestId: null, wallTimeMs: 1 }
    const [first, second] = disks
    await world.settle(first?.cut({ ...mark, cutId: 'a'.repeat(32) }) ?? expect.fail())
    expect(second?.cutAtEnd).not.toBeNull()
    const before = cut.length
    await world.settle(scheduler.cutDue())
    expect(cut).toHaveLength(before + 1)
    await world.settle(scheduler.cutDue())
    expect(cut).toHaveLength(before + 1)
    expect(benches).toHaveLength(2)
  })

  test('is not cut again before the last cut is in the spools, and waits for no other group', async () => {
    const world = new World(5)
    const [slow, quick] = ['vda', 'vdb'].map((diskId) => new DiskBench({ seed: 5, diskId, world }))
    if (slow === undefined || quick === undefined) return expect.fail()
    const disks = new Map([
      ['vda', await slow.openStreaming()],
      ['vdb', await quick.openStreaming()],
    ])
    const cut: string[] = []
    const scheduler = new CutScheduler({
      clock: world.clock(slow.life),
      random: world.random,
      groups: groupsOf([...disks.keys()].map((diskId) => ({ diskId, groupId: null }))),
      diskOf: (diskId) => disks.get(diskId),
      onCut: ({ members }) => cut.push(...members),
    })
    const write = (disk?: TapDisk) =>
      disk?.path.change({ kind: 'write', byteOffset: 0, data: pattern(512, 3) }, { fua: false })
    const held = Promise.withResolvers<void>()
    slow.volumeGate = () => held.promise
    const rounds: Promise<void>[] = []
    for (let round = 1; round <= 3; round += 1) {
      rounds.push(scheduler.cutDue())
      await world.until(() => cut.length === round, `round ${round} of vdb`)
      void write(disks.get('vda'))
      await world.settle(write(disks.get('vdb')) ?? expect.fail())
    }
    expect(cut).toEqual(['vdb', 'vdb', 'vdb'])
    held.resolve()
    await world.settle(Promise.all(rounds))
    const marks = (await slow.stream()).filter(({ event }) => event.kind === 'recoveryPoint')
    expect(marks).toHaveLength(1)
  })

  test('by name is the same point when the request is repeated', async () => {
    const { benches, scheduler, world } = await openGroup(2)
    const request = { name: 'before upgrade', requestId: 'r1' }
    const [first, again] = await world.settle(
      Promise.all([scheduler.cutNow('db', request), scheduler.cutNow('db', request)]),
    )
    expect(again).toEqual(first)
    const marks = (await benches[0]?.stream())?.filter(({ event }) => event.kind === 'recoveryPoint')
    expect(marks).toHaveLength(1)
  })

  test('is refused while a member is out of step, and for a group nobody knows', async () => {
    const { disks, scheduler, world } = await openGroup(3)
    await world.settle(disks[0]?.resync({ expectedGeneration: 1, code: 'RESYNC_REQUESTED' }) ?? expect.fail())
    const request = { name: null, requestId: null }
    await expect(scheduler.cutNow('db', request)).rejects.toMatchObject({ code: 'CUT_NOT_POSSIBLE' })
    await expect(scheduler.cutNow('nobody', request)).rejects.toMatchObject({ code: 'UNKNOWN_GROUP' })
  })
})
