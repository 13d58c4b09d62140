import { KiB } from '@blockferry/runtime'
import { writingThrough } from '@blockferry/storage'
import { expect, test } from 'vitest'
import { unlimitedHostSpool } from '../spool/host-spool.ts'
import { DiskBench, pattern } from '../testing/disk-bench.ts'

/** A budget that says what the test says. */
function sayingHost() {
  return { ...unlimitedHostSpool, hasRoom: () => true, isFull: () => false }
}

async function fill(bench: DiskBench, segments: number): Promise<void> {
  for (let tag = 1; tag <= segments * 8; tag += 1) {
    const data = pattern(64 * KiB, tag)
    const write = { kind: 'write', byteOffset: 0, data } as const
    await bench.world.settle(bench.require().path.change(write, { fua: false }))
    await bench.world.settle(bench.world.clock(bench.life).sleep(10))
  }
}

test('when space is short on the host, the segments go that are old enough and acknowledged, and no others (H1, K1)', async () => {
  const hostSpool = sayingHost()
  const bench = new DiskBench({ seed: 1, hostSpool })
  const disk = await bench.openStreaming()
  await fill(bench, 5)
  const acknowledged = { position: disk.status().position ?? expect.fail(), lsn: bench.publishedLsn() }
  disk.shipped(acknowledged)
  await bench.world.settle(disk.tick())
  const before = disk.status().spoolBytes
  const evictable = disk.spool.evictableSinceMs()
  expect(evictable.length).toBe(before / (512 * KiB) - 1)
  hostSpool.evictThroughMs = evictable[1] ?? expect.fail()
  await fill(bench, 3)
  await bench.world.settle(disk.tick())
  expect(disk.spool.evictableSinceMs()).toEqual(evictable.slice(2))
  hostSpool.evictThroughMs = Infinity
  await bench.world.settle(disk.tick())
  // What came after the acknowledgement stays, however short the space is.
  const sequence = (await bench.stream())[0]?.sequence ?? expect.fail()
  expect(sequence).toBeLessThanOrEqual(acknowledged.position.sequence + 1)
  expect(disk.spool.evictableSinceMs()).toEqual([])
})

test('an unfinished write keeps its segment, and those before it go (K1)', async () => {
  const hostSpool = sayingHost()
  const held: (() => void)[] = []
  const bench = new DiskBench({
    seed: 5,
    hostSpool,
    wrapDevice: (device) =>
      writingThrough(device, async (byteOffset, data) => {
        if (byteOffset === 128 * KiB) await new Promise<void>((resolve) => held.push(resolve))
        await device.write(byteOffset, data)
      }),
  })
  const disk = await bench.openStreaming()
  await fill(bench, 3)
  const unfinished = (disk.status().position?.sequence ?? expect.fail()) + 1
  const data = pattern(4 * KiB, 500)
  const stuck = disk.path.change({ kind: 'write', byteOffset: 128 * KiB, data }, { fua: false })
  await fill(bench, 3)
  disk.shipped({ position: disk.status().position ?? expect.fail(), lsn: bench.publishedLsn() })
  hostSpool.evictThroughMs = Infinity
  await bench.world.settle(disk.tick())
  const first = (await bench.stream())[0]?.sequence ?? expect.fail()
  expect(first).toBeGreaterThan(1)
  expect(first).toBeLessThanOrEqual(unfinished)
  for (const letGo of held) letGo()
  await bench.world.settle(stuck)
  await bench.world.settle(disk.tick())
  expect((await bench.stream())[0]?.sequence).toBeGreaterThan(unfinished)
})

test('segments of an agent that was killed count as older than those of its successor, in their order', async () => {
  const bench = new DiskBench({ seed: 2, hostSpool: sayingHost() })
  const first = await bench.openStreaming()
  await fill(bench, 3)
  first.shipped({ position: first.status().position ?? expect.fail(), lsn: bench.publishedLsn() })
  await bench.world.settle(first.tick())
  bench.kill()
  const disk = await bench.open()
  await fill(bench, 3)
  disk.shipped({ position: disk.status().position ?? expect.fail(), lsn: bench.publishedLsn() })
  await bench.world.settle(disk.tick())
  const since = disk.spool.evictableSinceMs()
  expect(since).toEqual(since.toSorted((a, b) => a - b))
  expect(since.filter((ms) => ms < 0).length).toBeGreaterThanOrEqual(3)
  expect(since.some((ms) => ms > 0)).toBe(true)
})

test('a disk begins no new generation while the host has no room for it, and its sync leaves room to the others (T7)', async () => {
  const hostSpool = sayingHost()
  const bench = new DiskBench({ seed: 3, hostSpool, sizeBytes: 4 * 1024 * KiB })
  for (let at = 0; at < 4096 * KiB; at += 256 * KiB) bench.medium.write(at, pattern(256 * KiB, at / KiB))
  hostSpool.hasRoom = () => false
  const disk = await bench.open()
  const clock = bench.world.clock(bench.life)
  await bench.world.settle(disk.tick())
  await bench.world.settle(clock.sleep(10_000))
  expect(disk.status().state).toBe('AHEAD')
  hostSpool.hasRoom = () => true
  hostSpool.pressure = 0.8
  await bench.world.settle(disk.tick())
  await bench.world.until(() => disk.status().state === 'RESYNCING', 'RESYNCING')
  await bench.world.settle(clock.sleep(10_000))
  expect(disk.status()).toMatchObject({ state: 'RESYNCING', rawBytes: 0 })
  hostSpool.pressure = 0
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
})

test('a disk that grows when the host is full goes AHEAD; one that does not grow stays as it is', async () => {
  const hostSpool = sayingHost()
  const bench = new DiskBench({ seed: 4, hostSpool })
  const disk = await bench.openStreaming()
  hostSpool.isFull = () => true
  await bench.world.settle(
    disk.path.change({ kind: 'write', byteOffset: 0, data: pattern(4 * KiB, 1) }, { fua: false }),
  )
  expect(disk.status().state).toBe('STREAMING')
  await fill(bench, 2)
  expect(disk.status()).toMatchObject({ state: 'AHEAD', code: 'SPOOL_FULL' })
})
