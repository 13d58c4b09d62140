import { KiB } from '@blockferry/runtime'
import { expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'

const cut = { groupId: null, members: ['vda'], name: null, requestId: null, wallTimeMs: 1 }

/** Stops a disk, and does something to it after so many decisions of the world; then goes on with it. */
async function stopWith(decisions: number, meddle: (bench: DiskBench) => void): Promise<DiskBench> {
  const bench = new DiskBench({ seed: decisions, sizeBytes: 64 * KiB })
  const disk = await bench.openStreaming()
  const write = { kind: 'write', byteOffset: 512, data: pattern(4 * KiB, 3) } as const
  // Still under way when the stop begins.
  void disk.path.change(write, { fua: false })
  const closing = disk.close()
  await bench.world.run(decisions)
  meddle(bench)
  await bench.world.settle(closing, 'an orderly stop')
  // Whoever is late finds slots and spool closed.
  await bench.world.run(50)
  await bench.openStreaming()
  expect(await bench.world.settle(bench.replay())).toEqual(bench.source())
  return bench
}

test('a resync asked for at any point of an orderly stop is owed at the next start, or asked for again', async () => {
  const mints = new Set<number>()
  for (let decisions = 0; decisions < 40; decisions += 1) {
    const bench = await stopWith(decisions, ({ disk }) => {
      void disk?.resync({ expectedGeneration: 1, code: 'RESYNC_REQUESTED' })
    })
    mints.add(bench.mints)
  }
  expect(mints).toEqual(new Set([1, 2]))
})

test('a recovery point asked for at any point of an orderly stop is in the spool, or refused', async () => {
  const outcomes = new Set<string>()
  for (let decisions = 0; decisions < 40; decisions += 1) {
    await stopWith(decisions, ({ disk }) => {
      const mayCut = disk?.inStep === true
      outcomes.add(mayCut ? 'cut' : 'refused')
      if (mayCut) void disk.cut({ ...cut, cutId: decisions.toString(16).padStart(32, '0') })
    })
  }
  expect(outcomes).toEqual(new Set(['cut', 'refused']))
})

test('an orderly stop waits for the flushes of a guest that has gone without their answers', async () => {
  const over = Promise.withResolvers<void>()
  let flushes = 0
  const bench = new DiskBench({
    seed: 1,
    wrapDevice: (device) => {
      const flush = device.flush.bind(device)
      const isFirst = () => (flushes += 1) === 1
      return Object.assign(device, { flush: () => (isFirst() ? over.promise.then(flush) : flush()) })
    },
  })
  const disk = await bench.openStreaming()
  flushes = 0
  const answers = [disk.path.flush(), disk.path.flush()]
  const closing = disk.close()
  await bench.world.run(200)
  over.resolve()
  await bench.world.settle(closing, 'an orderly stop')
  await bench.world.run(50)
  expect(await Promise.allSettled(answers)).toMatchObject([{ status: 'fulfilled' }, { status: 'fulfilled' }])
})
