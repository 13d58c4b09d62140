import { KiB } from '@blockferry/runtime'
import { describe, expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'
import type { TapDisk } from './tap-disk.ts'

function write(disk: TapDisk, byteOffset: number, tag: number): Promise<void> {
  return disk.path.change({ kind: 'write', byteOffset, data: pattern(16 * KiB, tag) }, { fua: false })
}

async function stopInOrder(bench: DiskBench, disk: TapDisk): Promise<void> {
  await bench.world.settle(disk.close())
  expect((await bench.durableRecord()).cleanShutdown).toBe(true)
}

/** Kills the agent in the midst of a few writes, the next of which the disk may have done in part. */
async function killWriting(bench: DiskBench, disk: TapDisk): Promise<void> {
  for (let at = 0; at < 6; at += 1) write(disk, at * 16 * KiB, at + 1).catch(() => {})
  await bench.world.run(4 + bench.world.random.below(30))
  bench.kill()
}

const seeds = Array.from({ length: 20 }, (_, index) => index + 1)

describe('an orderly stop is over with the next start (T5)', () => {
  test.each(seeds)('a kill after it finds in doubt what was under way (seed %i)', async (seed) => {
    const bench = new DiskBench({ seed })
    await stopInOrder(bench, await bench.openStreaming())
    const disk = await bench.open()
    expect((await bench.durableRecord()).cleanShutdown).toBe(false)
    await killWriting(bench, disk)
    const again = await bench.open()
    expect(again.status()).toMatchObject({ state: 'STREAMING', position: { generation: 1 } })
    expect(await bench.replay()).toEqual(bench.source())
  })

  test.each(seeds)('a kill finds it also when the disk was AHEAD then (seed %i)', async (seed) => {
    const bench = new DiskBench({ seed })
    const ahead = await bench.openStreaming()
    await bench.world.settle(ahead.resync({ expectedGeneration: 1, code: 'RESYNC_REQUESTED' }))
    await stopInOrder(bench, ahead)
    const disk = await bench.openStreaming()
    expect((await bench.durableRecord()).cleanShutdown).toBe(false)
    await killWriting(bench, disk)
    const again = await bench.open()
    expect(again.status()).toMatchObject({ state: 'STREAMING', position: { generation: 2 } })
    expect(await bench.replay()).toEqual(bench.source())
  })
})

test('a spool that ends before what was durable is corrupt, however clean its end (T3, T5)', async () => {
  const bench = new DiskBench({ seed: 1 })
  const disk = await bench.openStreaming()
  for (let tag = 1; tag <= 8; tag += 1) await bench.world.settle(write(disk, 0, tag))
  await bench.world.settle(disk.tick())
  const { durableThroughLsn } = await bench.durableRecord()
  expect(durableThroughLsn).toBe(bench.publishedLsn())
  bench.kill()
  // The last write and all after it, as if they had never been: what is left ends like any spool.
  const [segment = expect.fail('a spool has a segment')] = await bench.spool.open().list()
  const from = durableThroughLsn - 17 * KiB
  bench.spool.mediumOf(segment).zero(from, bench.options.segmentBytes - from)
  const again = await bench.open()
  expect(again.status()).toMatchObject({ state: 'AHEAD', code: 'SPOOL_CORRUPT' })
  await bench.tickUntil(() => again.status().state === 'STREAMING', 'STREAMING')
  expect(again.status().position?.generation).toBe(2)
  expect(await bench.replay()).toEqual(bench.source())
})

test('a spool of a newer generation than the slots know is not continued in the older one (S2, T5)', async () => {
  const bench = new DiskBench({ seed: 2 })
  const disk = await bench.openStreaming()
  const older = Buffer.alloc(16 * KiB)
  bench.slots.medium.read(0, older)
  await bench.world.settle(disk.resync({ expectedGeneration: 1, code: 'RESYNC_REQUESTED' }))
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  bench.kill()
  bench.slots.medium.write(0, older)
  const again = await bench.open()
  expect(again.status()).toMatchObject({ state: 'AHEAD', code: 'SPOOL_CORRUPT', position: { generation: 2 } })
  await bench.tickUntil(() => again.status().state === 'STREAMING', 'STREAMING')
  expect(again.status().position?.generation).toBe(3)
  expect(await bench.replay()).toEqual(bench.source())
})
