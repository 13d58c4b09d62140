import { expect, test } from 'vitest'
import { DiskBench } from '../testing/disk-bench.ts'

test('a disk whose control slots cannot be written is not served and leaves nothing open, so that the next try can lock it', async () => {
  let fails = true
  const bench = new DiskBench({ seed: 1, slotsFail: () => fails })
  await expect(bench.open()).rejects.toMatchObject({ code: 'STATE_VOLUME_FAILED' })
  expect(bench.stillOpen).toEqual([])
  fails = false
  await bench.openStreaming()
  expect(bench.stillOpen.toSorted()).toEqual(['device', 'slots', 'spool'])
})
