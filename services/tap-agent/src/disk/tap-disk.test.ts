import { KiB, MiB } from '@blockferry/runtime'
import { failing } from '@blockferry/storage'
import { describe, expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'
import type { World } from '../testing/world.ts'
import type { GuestChange } from './guest-write.ts'
import type { TapDisk } from './tap-disk.ts'

const long = process.env['BLOCKFERRY_TEST_COUNTS'] === 'long'
const seeds = Array.from({ length: long ? 400 : 40 }, (_, index) => index + 1)

/** A change of the guest drawn from the seed: small writes, zero data, zeroings, trims, overlapping often. */
function anyChange(world: World, sizeBytes: number, tag: number): GuestChange {
  const sectors = sizeBytes / 512
  const byteOffset = world.random.below(sectors) * 512
  const byteLength = Math.min(sizeBytes - byteOffset, (1 + world.random.below(24)) * 512)
  const kind = world.random.below(6)
  if (kind === 0) return { kind: 'zero', byteOffset, byteLength, mayUnmap: true }
  if (kind === 1) return { kind: 'write', byteOffset, data: Buffer.alloc(byteLength) }
  return { kind: 'write', byteOffset, data: pattern(byteLength, tag) }
}

/** Submits so many changes, some at a time, and answers with how many failed. */
async function writeSome(bench: DiskBench, disk: TapDisk, count: number): Promise<number> {
  let failed = 0
  const pending: Promise<void>[] = []
  for (let tag = 1; tag <= count; tag += 1) {
    const change = anyChange(bench.world, bench.options.sizeBytes, tag)
    const done = disk.path.change(change, { fua: bench.world.random.below(8) === 0 }).catch(() => {
      failed += 1
    })
    pending.push(done)
    await bench.world.run(bench.world.random.below(6))
  }
  await bench.world.settle(Promise.all(pending), 'the guest’s writes')
  return failed
}

describe('the stream of a disk', () => {
  test.each(seeds)('replayed equals the disk, whatever the interleaving (seed %i)', async (seed) => {
    const bench = new DiskBench({ seed })
    const disk = await bench.openStreaming()
    await writeSome(bench, disk, 30)
    expect((await bench.replay()).equals(bench.source())).toBe(true)
  })

  test.each(seeds)('equals the disk after a full sync under live writes (seed %i)', async (seed) => {
    const bench = new DiskBench({ seed, sizeBytes: 1 * MiB })
    for (let at = 0; at < 40; at += 1) {
      bench.medium.write(bench.world.random.below(2000) * 512, pattern(512, at + 1))
    }
    const disk = await bench.open()
    await bench.world.settle(disk.tick())
    await bench.world.until(() => disk.status().state === 'RESYNCING', 'RESYNCING')
    await writeSome(bench, disk, 30)
    await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
    expect((await bench.replay()).equals(bench.source())).toBe(true)
    const marks = (await bench.stream()).filter(({ event }) => event.kind === 'resyncDone')
    expect(marks).toHaveLength(1)
  })

  test('holds a write before the disk does (S4)', async () => {
    const bench = new DiskBench({ seed: 1 })
    const order: string[] = []
    const watched = new DiskBench({
      seed: 1,
      wrapDevice: (device) => ({
        ...failing(device, () => null),
        write: async (byteOffset, data) => {
          const held = await watched.stream()
          const spooled = held.some(({ event }) => event.kind === 'write' && event.byteOffset === byteOffset)
          order.push(spooled ? 'spooled first' : 'written unspooled')
          await device.write(byteOffset, data)
        },
      }),
    })
    expect(bench.options.diskId).toBe('vda')
    const disk = await watched.openStreaming()
    for (const tag of [1, 2, 3]) {
      const change = { kind: 'write', byteOffset: tag * 4096, data: pattern(4096, tag) } as const
      await watched.world.settle(disk.path.change(change, { fua: false }))
    }
    expect(order).toEqual(['spooled first', 'spooled first', 'spooled first'])
  })

  test('splits a large write into events of at most 256 KiB that nothing comes between (S4)', async () => {
    const bench = new DiskBench({ seed: 3, sizeBytes: 4 * MiB, segmentBytes: 8 * MiB })
    const disk = await bench.openStreaming()
    const write = (byteOffset: number, byteLength: number, tag: number) =>
      disk.path.change({ kind: 'write', byteOffset, data: pattern(byteLength, tag) }, { fua: false })
    const both = [write(0, 1 * MiB, 1), write(2 * MiB, 4 * KiB, 2), write(3 * MiB, 700 * KiB, 3)]
    await bench.world.settle(Promise.all(both))
    const events = (await bench.stream()).flatMap(({ event }) => (event.kind === 'write' ? [event] : []))
    expect(events.map(({ byteOffset }) => byteOffset / KiB)).toEqual([
      0, 256, 512, 768, 2048, 3072, 3328, 3584,
    ])
    expect((await bench.replay()).equals(bench.source())).toBe(true)
  })
})

describe('a write that fails at the disk (S5)', () => {
  test.each(seeds)('is read back before its error is answered (seed %i)', async (seed) => {
    const bench = new DiskBench({
      seed,
      wrapDevice: (device) =>
        failing(device, ({ nth, operation }) =>
          operation === 'write' && nth % 3 === 0 ? { code: 'EIO', short: nth % 2 === 0 } : null,
        ),
    })
    const disk = await bench.openStreaming()
    const failed = await writeSome(bench, disk, 30)
    expect(failed).toBeGreaterThan(0)
    expect(disk.status().state).toBe('STREAMING')
    expect((await bench.replay()).equals(bench.source())).toBe(true)
  })

  test('has its read-back in the spool when the guest hears the error', async () => {
    const bench = new DiskBench({
      seed: 5,
      wrapDevice: (device) =>
        failing(device, ({ operation }) => (operation === 'write' ? { code: 'EIO', short: true } : null)),
    })
    const disk = await bench.openStreaming()
    const write = disk.path.change({ kind: 'write', byteOffset: 0, data: pattern(8192, 9) }, { fua: false })
    const refused = await bench.world.settle(write.catch((error: unknown) => error))
    expect(refused).toMatchObject({ code: 'EIO' })
    expect((await bench.replay()).equals(bench.source())).toBe(true)
  })

  test('that cannot be read back either makes the disk FAILED, owed durably, and it comes back by itself', async () => {
    let broken = true
    const bench = new DiskBench({
      seed: 6,
      wrapDevice: (device) =>
        failing(device, ({ operation }) =>
          broken && operation !== 'flush' && operation !== 'zero' ? { code: 'EIO', short: true } : null,
        ),
    })
    broken = false
    const disk = await bench.openStreaming()
    broken = true
    const write = disk.path.change({ kind: 'write', byteOffset: 0, data: pattern(8192, 9) }, { fua: false })
    expect(await bench.world.settle(write.catch((error: unknown) => error))).toMatchObject({ code: 'EIO' })
    expect(disk.status()).toMatchObject({ state: 'FAILED', code: 'LOCAL_STORAGE_FAILED' })
    broken = false
    await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING again')
    expect(disk.status().position?.generation).toBe(2)
    expect((await bench.replay()).equals(bench.source())).toBe(true)
  })
})

describe('kill -9', () => {
  test.each(seeds)('at any point costs nothing and resyncs nothing (seed %i)', async (seed) => {
    const bench = new DiskBench({ seed })
    let disk = await bench.openStreaming()
    for (let round = 0; round < 3; round += 1) {
      for (let tag = 1; tag <= 8; tag += 1) {
        // The guest does not retry: what it never asks for again must be found by the read-back.
        const change = anyChange(bench.world, bench.options.sizeBytes, round * 50 + tag)
        disk.path.change(change, { fua: false }).catch(() => {})
        await bench.world.run(bench.world.random.below(5))
      }
      await bench.world.run(bench.world.random.below(60))
      bench.kill()
      disk = await bench.open()
      expect(disk.status().position?.generation).toBe(1)
      expect((await bench.replay()).equals(bench.source())).toBe(true)
    }
  })

  test.each(seeds)(
    'again and again during the read-back forgets nothing in doubt (seed %i)',
    async (seed) => {
      const bench = new DiskBench({ seed })
      let disk = await bench.openStreaming()
      for (let at = 0; at < 12; at += 1) {
        const data = pattern(512, at + 1)
        disk.path.change({ kind: 'write', byteOffset: at * 8192, data }, { fua: false }).catch(() => {})
      }
      await bench.world.run(2 + bench.world.random.below(14))
      bench.kill()
      for (let round = 0; round < 4; round += 1) {
        void bench.begin()
        await bench.world.run(bench.world.random.below(60))
        bench.kill()
      }
      disk = await bench.open()
      expect(disk.status().position?.generation).toBe(1)
      expect((await bench.replay()).equals(bench.source())).toBe(true)
    },
  )

  test.each(seeds)('in the middle of a full sync goes on where it was (seed %i)', async (seed) => {
    const bench = new DiskBench({ seed, sizeBytes: 2 * MiB, segmentBytes: 4 * MiB })
    for (let at = 0; at < 60; at += 1) {
      bench.medium.write(bench.world.random.below(4000) * 512, pattern(512, at + 1))
    }
    let disk = await bench.open()
    for (let round = 0; round < 3; round += 1) {
      await bench.world.settle(disk.tick())
      const change = anyChange(bench.world, bench.options.sizeBytes, round)
      disk.path.change(change, { fua: false }).catch(() => {})
      await bench.world.run(bench.world.random.below(120))
      bench.kill()
      disk = await bench.open()
    }
    await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
    expect((await bench.replay()).equals(bench.source())).toBe(true)
  })

  test('after a host crash the disk is synchronised anew, in a new generation', async () => {
    const bench = new DiskBench({ seed: 11 })
    await bench.openStreaming()
    bench.kill()
    bench.bootId = 'boot-2'
    const disk = await bench.open()
    expect(disk.status()).toMatchObject({ state: 'AHEAD', code: 'HOST_RESTARTED' })
    await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
    expect(disk.status().position?.generation).toBe(2)
  })

  test('a planned reboot resyncs nothing', async () => {
    const bench = new DiskBench({ seed: 12 })
    const before = await bench.openStreaming()
    const write = before.path.change(
      { kind: 'write', byteOffset: 512, data: pattern(512, 1) },
      { fua: false },
    )
    await bench.world.settle(write)
    await bench.world.settle(before.close())
    bench.bootId = 'boot-2'
    const disk = await bench.open()
    expect(disk.status()).toMatchObject({ state: 'STREAMING', position: { generation: 1 } })
  })
})
