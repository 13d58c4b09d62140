import { KiB } from '@blockferry/runtime'
import { writingThrough } from '@blockferry/storage'
import { expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'

test('what is in doubt is read back also when the segment of the write that the last frame names is gone (S5)', async () => {
  const held = new Map<number, () => void>()
  const places = { early: 128 * KiB, late: 192 * KiB }
  const isHeld = (byteOffset: number) => byteOffset === places.early || byteOffset === places.late
  const bench = new DiskBench({
    seed: 1,
    wrapDevice: (device) =>
      writingThrough(device, async (byteOffset, data) => {
        if (isHeld(byteOffset)) await new Promise<void>((resolve) => held.set(byteOffset, resolve))
        await device.write(byteOffset, data)
      }),
  })
  const disk = await bench.openStreaming()
  const write = (byteOffset: number, tag: number, byteLength = 64 * KiB) =>
    disk.path.change({ kind: 'write', byteOffset, data: pattern(byteLength, tag) }, { fua: false })
  const fillSegment = async () => {
    for (let tag = 1; tag <= 9; tag += 1) await bench.world.settle(write(0, tag))
  }
  const early = write(places.early, 100, 4 * KiB)
  await fillSegment()
  const position = disk.status().position ?? expect.fail('no position')
  void write(places.late, 200, 4 * KiB)
  await fillSegment()
  await fillSegment()
  // Finished after the last frame was built, which still names it as the lowest that is not.
  held.get(places.early)?.()
  await bench.world.settle(early)
  disk.shipped({ position: disk.status().position ?? expect.fail(), lsn: bench.publishedLsn() })
  disk.received(position)
  await bench.world.settle(disk.tick())
  const kept = (await bench.stream()).flatMap(({ event }) =>
    event.kind === 'write' ? [event.byteOffset] : [],
  )
  expect(kept).not.toContain(places.early)
  expect(kept).toContain(places.late)
  bench.kill()
  await bench.open()
  const lateOf = (image: Buffer) => image.subarray(places.late, places.late + 4 * KiB)
  expect(lateOf(await bench.replay()).equals(lateOf(bench.source()))).toBe(true)
})
