import { KiB } from '@blockferry/runtime'
import { failing } from '@blockferry/storage'
import { expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'
import { nbdExportOf } from './nbd-export.ts'

const extent = { byteOffset: 0, byteLength: 64 * KiB }

async function trimmed(punchesHoles: boolean) {
  const bench = new DiskBench({
    seed: 1,
    wrapDevice: (device) => ({ ...failing(device, () => null), punchesHoles }),
  })
  const disk = await bench.openStreaming()
  const exported = nbdExportOf(disk)
  await bench.world.settle(exported.write(0, pattern(64 * KiB, 1), { fua: false }))
  const before = bench.source()
  const eventsBefore = (await bench.stream()).length
  await bench.world.settle(exported.trim(extent, { fua: false }))
  return { bench, before, events: (await bench.stream()).slice(eventsBefore).map(({ event }) => event) }
}

test('a TRIM is a zeroing punch and a zero event (S7)', async () => {
  const { bench, events } = await trimmed(true)
  expect(events).toMatchObject([{ kind: 'zero', ...extent, mayUnmap: true }])
  expect(await bench.replay()).toEqual(bench.source())
  expect(bench.source()).toEqual(Buffer.alloc(bench.options.sizeBytes))
})

test('a TRIM where nothing can be punched succeeds, changes nothing, and is no event (S7)', async () => {
  const { before, bench, events } = await trimmed(false)
  expect(events).toEqual([])
  expect(bench.source()).toEqual(before)
  expect(await bench.replay()).toEqual(bench.source())
})

test.each([
  { mayUnmap: true, punchesHoles: true, zeroesRanges: false, isFast: true },
  { mayUnmap: true, punchesHoles: false, zeroesRanges: true, isFast: true },
  { mayUnmap: false, punchesHoles: false, zeroesRanges: true, isFast: true },
  { mayUnmap: false, punchesHoles: true, zeroesRanges: false, isFast: false },
  { mayUnmap: true, punchesHoles: false, zeroesRanges: false, isFast: false },
])(
  'fast zeroing is refused just where zeroes would be written out (T1): $isFast for $mayUnmap, $punchesHoles, $zeroesRanges',
  async ({ isFast, mayUnmap, punchesHoles, zeroesRanges }) => {
    const bench = new DiskBench({
      seed: 2,
      wrapDevice: (device) => ({ ...failing(device, () => null), punchesHoles, zeroesRanges }),
    })
    const exported = nbdExportOf(await bench.openStreaming())
    const eventsBefore = (await bench.stream()).length
    const zeroing = exported.writeZeroes(extent, { fua: false, fast: true, mayUnmap })
    if (isFast) await bench.world.settle(zeroing)
    else await expect(zeroing).rejects.toMatchObject({ errno: 'ENOTSUP' })
    expect((await bench.stream()).length - eventsBefore).toBe(isFast ? 1 : 0)
  },
)
