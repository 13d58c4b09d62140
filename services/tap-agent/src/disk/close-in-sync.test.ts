import { KiB, MiB } from '@blockferry/runtime'
import { expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'

test('an orderly stop at any point of a full sync waits for it, and the next start goes on with it', async () => {
  for (let decisions = 0; decisions < 60; decisions += 3) {
    const bench = new DiskBench({ seed: decisions, sizeBytes: 1 * MiB, segmentBytes: 2 * MiB })
    bench.medium.write(0, pattern(900 * KiB, 7))
    const disk = await bench.open()
    const ticked = disk.tick()
    await bench.world.until(() => disk.status().state === 'RESYNCING', 'RESYNCING')
    await bench.world.run(decisions)
    await bench.world.settle(ticked)
    await bench.world.settle(disk.close(), 'an orderly stop')
    await bench.openStreaming()
    expect(await bench.world.settle(bench.replay())).toEqual(bench.source())
    expect(bench.mints).toBe(1)
  }
})
