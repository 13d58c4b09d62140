import { KiB } from '@blockferry/runtime'
import { faultySegmentFiles } from '@blockferry/segment-log'
import { expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'
import type { TapDisk } from './tap-disk.ts'

function write(disk: TapDisk, tag: number): Promise<void> {
  return disk.path.change({ kind: 'write', byteOffset: 0, data: pattern(64 * KiB, tag) }, { fua: false })
}

const unreadable = { expectedGeneration: Number.MAX_SAFE_INTEGER, code: 'SPOOL_CORRUPT' } as const

test('a spool that cannot be read is dropped in AHEAD, and evictedThrough is durable before (T6, K3)', async () => {
  const evictedAtRemoval: (number | null)[] = []
  const bench: DiskBench = new DiskBench({
    seed: 1,
    wrapSegments: (files) => ({
      ...files,
      remove: async (name) => {
        evictedAtRemoval.push((await bench.durableRecord()).evictedThrough?.sequence ?? null)
        await files.remove(name)
      },
    }),
  })
  const disk = await bench.openStreaming()
  for (let tag = 1; tag <= 20; tag += 1) await bench.world.settle(write(disk, tag))
  const end = disk.status().position?.sequence ?? expect.fail('no position')
  await bench.world.settle(disk.resync({ ...unreadable, unreadableThroughLsn: bench.publishedLsn() }))
  expect(disk.status()).toMatchObject({ state: 'AHEAD', code: 'SPOOL_CORRUPT' })
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  expect(evictedAtRemoval.length).toBeGreaterThan(1)
  expect(new Set(evictedAtRemoval)).toEqual(new Set([end]))
  expect((await bench.stream())[0]).toMatchObject({ sequence: 1, generation: { number: 2 } })
  expect((await bench.replay()).equals(bench.source())).toBe(true)
})

test('a spool that could not be read before the running generation began is none of its business', async () => {
  const bench = new DiskBench({ seed: 2 })
  const disk = await bench.openStreaming()
  await bench.world.settle(write(disk, 1))
  const request = { ...unreadable, unreadableThroughLsn: bench.publishedLsn() }
  await bench.world.settle(disk.resync(request))
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  await bench.world.settle(disk.resync(request))
  expect(disk.status()).toMatchObject({ state: 'STREAMING', position: { generation: 2 } })
})

test('a spool whose fdatasync failed once is dropped too: the disk streams again without a restart (T3, T4)', async () => {
  let fails = false
  const bench = new DiskBench({
    seed: 3,
    wrapSegments: (files) =>
      faultySegmentFiles(files, (operation) => (fails && operation === 'sync' ? { code: 'EIO' } : null)),
  })
  const disk = await bench.openStreaming()
  await bench.world.settle(write(disk, 1))
  fails = true
  await bench.world.settle(disk.tick())
  await bench.world.until(() => disk.status().state === 'AHEAD', 'AHEAD')
  expect(disk.status()).toMatchObject({ state: 'AHEAD', code: 'SPOOL_FAILED' })
  await bench.world.settle(write(disk, 2))
  for (let ticks = 0; ticks < 30; ticks += 1) {
    await bench.world.settle(disk.tick())
    await bench.world.settle(bench.world.clock(bench.life).sleep(1_000))
  }
  expect(disk.status().state).toBe('AHEAD')
  fails = false
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  expect(disk.status().position?.generation).toBe(2)
  await bench.world.settle(write(disk, 3))
  await bench.world.settle(disk.tick())
  expect((await bench.durableRecord()).durableThroughLsn).toBe(bench.publishedLsn())
  expect((await bench.replay()).equals(bench.source())).toBe(true)
})

test('a segment that cannot be removed is told and tried again; the disk streams on (T3)', async () => {
  let fails = true
  const bench = new DiskBench({
    seed: 4,
    wrapSegments: (files) =>
      faultySegmentFiles(files, (operation) => (fails && operation === 'remove' ? { code: 'EIO' } : null)),
  })
  const troubles: unknown[] = []
  const disk = await bench.openStreaming({ trouble: (_, error) => troubles.push(error) })
  for (let tag = 1; tag <= 20; tag += 1) await bench.world.settle(write(disk, tag))
  const position = disk.status().position ?? expect.fail('no position')
  disk.shipped({ position, lsn: bench.publishedLsn() })
  disk.received(position)
  const before = disk.status().spoolBytes
  await bench.world.settle(disk.tick())
  expect(troubles).toMatchObject([{ code: 'EIO' }])
  expect(disk.status()).toMatchObject({ state: 'STREAMING', spoolBytes: before })
  await bench.world.settle(write(disk, 99))
  fails = false
  await bench.world.settle(disk.tick())
  expect(disk.status().spoolBytes).toBeLessThan(before)
  expect(disk.status().state).toBe('STREAMING')
})
