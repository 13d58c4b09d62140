import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ExtentMap } from '@blockferry/disk-stream'
import { openMemoryDevice } from '@blockferry/storage'
import type { BlockDevice } from '@blockferry/storage'
import { runsOf, writeFolded } from './slice-writer.ts'

const sizeBytes = 64 * 1024
const blockBytes = 4096

const write = fc.record({
  sector: fc.integer({ min: 0, max: 120 }),
  sectors: fc.integer({ min: 1, max: 7 }),
  fill: fc.option(fc.integer({ min: 1, max: 255 })),
})

/** Notes which blocks are being written, and fails when two writes share one. */
function watched(device: BlockDevice): BlockDevice {
  const busy = new Set<number>()
  const guard = async (byteOffset: number, byteLength: number, work: () => Promise<void>): Promise<void> => {
    const blocks: number[] = []
    for (
      let block = Math.floor(byteOffset / blockBytes);
      block * blockBytes < byteOffset + byteLength;
      block += 1
    ) {
      if (busy.has(block)) throw new Error(`two writes in block ${block}`)
      blocks.push(block)
    }
    for (const block of blocks) busy.add(block)
    await work()
    for (const block of blocks) busy.delete(block)
  }
  return {
    ...device,
    sizeBytes: device.sizeBytes,
    write: (byteOffset, data) =>
      guard(
        byteOffset,
        data.reduce((sum, one) => sum + one.byteLength, 0),
        () => device.write(byteOffset, data),
      ),
    zero: (extent, options) =>
      guard(extent.byteOffset, extent.byteLength, () => device.zero(extent, options)),
  }
}

describe('a slice', () => {
  test('written in place equals the writes one after another, and never has two writes in one block', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(write, { maxLength: 40 }), async (writes) => {
        const model = Buffer.alloc(sizeBytes)
        const map = new ExtentMap()
        for (const { sector, sectors, fill } of writes) {
          const [byteOffset, byteLength] = [sector * 512, sectors * 512]
          model.fill(fill ?? 0, byteOffset, byteOffset + byteLength)
          if (fill === null) map.zero({ byteOffset, byteLength }, { mayUnmap: true })
          else map.write(byteOffset, Buffer.alloc(byteLength, fill))
        }
        const device = openMemoryDevice({ sizeBytes })
        await writeFolded(watched(device), map, { blockBytes, writesMax: 8 })
        const image = Buffer.alloc(sizeBytes)
        await device.read(0, image)
        expect(image.equals(model)).toBe(true)
      }),
      { numRuns: 100 },
    )
  })

  test('keeps extents that touch the same block in one run', () => {
    const extent = (byteOffset: number, byteLength: number) =>
      ({ kind: 'zero', mayUnmap: true, byteOffset, byteLength }) as const
    const runs = runsOf(
      [extent(0, 512), extent(1024, 512), extent(4096, 4608), extent(9216, 512)],
      blockBytes,
    )
    expect(runs.map((run) => run.length)).toEqual([2, 2])
  })
})
