import { KiB } from '@blockferry/runtime'
import { failing } from '@blockferry/storage'
import { expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'

test('a hole that the guest writes to before the sync has its lock is sent as what it holds then (Y3)', async () => {
  const write = { kind: 'write', byteOffset: 8 * KiB, data: pattern(4 * KiB, 3) } as const
  let isWritten = false
  const bench: DiskBench = new DiskBench({
    seed: 1,
    wrapDevice: (device) => ({
      ...failing(device, () => null),
      allocations: async (extent, entriesMax) => {
        const found = await device.allocations(extent, entriesMax)
        // The sync alone asks for one entry; its first look sees the hole, then the guest is faster.
        if (entriesMax === 1 && !isWritten) {
          isWritten = true
          expect(found[0]?.kind).toBe('hole')
          await bench.require().path.change(write, { fua: false })
        }
        return found
      },
    }),
  })
  await bench.openStreaming()
  expect(isWritten).toBe(true)
  expect((await bench.replay()).equals(bench.source())).toBe(true)
})
