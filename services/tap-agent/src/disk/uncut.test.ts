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
  expect(disk.cutAtEnd).toBe('1'.repeat(32))
  const cutThrough = disk.status().numberedThrough
  await bench.world.settle(disk.resync({ expectedGeneration: 1, code: 'RESYNC_REQUESTED' }))
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  while (disk.status().numberedThrough < cutThrough) {
    const data = pattern(4 * KiB, 7)
    await bench.world.settle(disk.path.change({ kind: 'write', byteOffset: 0, data }, { fua: false }))
  }
  expect(disk.status().numberedThrough).toBe(cutThrough)
  expect(disk.cutAtEnd).toBeNull()
})

test.each(['stopped in order', 'killed'])(
  'a disk that is idle when its agent is %s still stands at its cut (S6)',
  async (how) => {
    const bench = new DiskBench({ seed: 2 })
    const disk = await bench.openStreaming()
    const cutId = '2'.repeat(32)
    const mark = { groupId: null, members: ['vda'], name: null, requestId: null, wallTimeMs: 1, cutId }
    await bench.world.settle(disk.cut(mark))
    if (how === 'killed') bench.kill()
    else await bench.world.settle(disk.close())
    const again = await bench.open()
    expect(again.cutAtEnd).toBe(cutId)
    const data = pattern(512, 1)
    await bench.world.settle(again.path.change({ kind: 'write', byteOffset: 0, data }, { fua: false }))
    expect(again.cutAtEnd).toBeNull()
  },
)
