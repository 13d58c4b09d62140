import { KiB } from '@blockferry/runtime'
import { expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'

test('a new generation has something to cut, however far the one before had counted (S6)', async () => {
  const bench = new DiskBench({ seed: 1 })
  const disk = await bench.openStreaming()
  for (let tag = 1; tag <= 30; tag += 1) {
    const data = pattern(4 * KiB, tag)
    await bench.world.settle(disk.path.change({ kind: 'write', byteOffset: 0, data }, { fua: false }))
  }
  const wallTimeMs = 1
  const mark = { groupId: null, members: ['vda'], name: null, requestId: null, wallTimeMs }
  await bench.world.settle(disk.cut({ ...mark, cutId: '1'.repeat(32) }))
  expect(disk.hasUncut).toBe(false)
  await bench.world.settle(disk.resync({ expectedGeneration: 1, code: 'RESYNC_REQUESTED' }))
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  expect(disk.status().numberedThrough).toBeLessThan(30)
  expect(disk.hasUncut).toBe(true)
})
