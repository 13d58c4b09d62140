import { codeOf, KiB } from '@blockferry/runtime'
import { failing } from '@blockferry/storage'
import { expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'
import { nbdExportOf } from './nbd-export.ts'
import type { TapDisk } from './tap-disk.ts'

/** A disk whose storage failed and cannot be opened again. */
async function failedDisk(): Promise<{ readonly bench: DiskBench; readonly disk: TapDisk }> {
  let broken = false
  const bench = new DiskBench({
    seed: 1,
    wrapDevice: (device) => {
      if (broken) throw Object.assign(new Error('EIO'), { code: 'EIO' })
      return failing(device, () => (broken ? { code: 'EIO' } : null))
    },
  })
  const disk = await bench.openStreaming()
  broken = true
  await expect(bench.world.settle(disk.path.flush())).rejects.toThrow('EIO')
  await bench.world.settle(bench.world.clock(bench.life).sleep(5_000))
  expect(disk.status().state).toBe('FAILED')
  return { bench, disk }
}

test('a disk whose storage is away answers every question with an error; none ends the agent (T7)', async () => {
  const { bench, disk } = await failedDisk()
  const exported = nbdExportOf(disk)
  const extent = { byteOffset: 0, byteLength: 4096 }
  const asks: readonly (() => Promise<unknown>)[] = [
    () => exported.blockStatus(extent, 16),
    () => exported.read(0, 4096),
    () => exported.write(0, Buffer.alloc(512, 1), { fua: true }),
    () => exported.trim(extent, { fua: false }),
    () => exported.flush(),
  ]
  for (const ask of asks) {
    const outcome = await bench.world.settle(
      Promise.resolve()
        .then(ask)
        .then(
          () => 'answered',
          (error: unknown) => codeOf(error),
        ),
    )
    expect(outcome).toMatch(/^(EIO|WRITE_REFUSED)$/)
  }
})

test('an orderly stop with a disk whose storage is away closes what is left of it', async () => {
  const { bench, disk } = await failedDisk()
  await bench.world.settle(disk.close())
  expect((await bench.durableRecord()).cleanShutdown).toBe(false)
})

test('a disk whose flush fails at an orderly stop is owed: its pages may be lost, and only the cache still shows them (T4, T5)', async () => {
  let flushFails = false
  const bench = new DiskBench({
    seed: 2,
    wrapDevice: (device) =>
      failing(device, ({ operation }) => (flushFails && operation === 'flush' ? { code: 'EIO' } : null)),
  })
  const disk = await bench.openStreaming()
  await bench.world.settle(disk.path.flush())
  const data = pattern(4 * KiB, 1)
  await bench.world.settle(disk.path.change({ kind: 'write', byteOffset: 0, data }, { fua: false }))
  flushFails = true
  await bench.world.settle(disk.close())
  expect(await bench.durableRecord()).toMatchObject({
    mode: 'AHEAD',
    aheadCode: 'LOCAL_STORAGE_FAILED',
    cleanShutdown: false,
  })
  // The kernel drops what it could not write: the storage goes back to what it held before.
  bench.medium.crash({ loseUnflushed: { uint32: () => 1, hex: () => '' } })
  flushFails = false
  const again = await bench.open()
  expect(again.status()).toMatchObject({ state: 'AHEAD', code: 'LOCAL_STORAGE_FAILED' })
  await bench.tickUntil(() => again.status().state === 'STREAMING', 'STREAMING')
  expect(await bench.replay()).toEqual(bench.source())
})

test('a spool whose fdatasync fails at an orderly stop is given up, for what it shows may be lost', async () => {
  const bench = new DiskBench({ seed: 3 })
  const disk = await bench.openStreaming()
  const data = pattern(4 * KiB, 1)
  await bench.world.settle(disk.path.change({ kind: 'write', byteOffset: 0, data }, { fua: false }))
  bench.volumeGate = async (operation) => {
    if (operation === 'sync') throw Object.assign(new Error('EIO'), { code: 'EIO' })
  }
  await bench.world.settle(disk.close())
  expect(await bench.durableRecord()).toMatchObject({ mode: 'AHEAD', aheadCode: 'SPOOL_FAILED' })
  bench.volumeGate = () => Promise.resolve()
  expect((await bench.open()).status()).toMatchObject({ state: 'AHEAD', code: 'SPOOL_FAILED' })
})

test('an extent that cannot be read back at the start is no longer locked once the storage is well again (S5)', async () => {
  let broken = false
  const bench = new DiskBench({
    seed: 3,
    wrapDevice: (device) =>
      failing(device, ({ operation }) => (broken && operation === 'read' ? { code: 'EIO' } : null)),
  })
  const first = await bench.openStreaming()
  const write = { kind: 'write', byteOffset: 8 * KiB, data: pattern(4 * KiB, 1) } as const
  void first.path.change(write, { fua: false })
  await bench.world.until(() => bench.source().includes(write.data), 'the write is on the disk')
  bench.kill()
  broken = true
  const disk = await bench.open()
  expect(disk.status().state).toBe('FAILED')
  broken = false
  await bench.world.until(() => disk.status().state === 'AHEAD', 'the storage is opened again')
  await bench.world.settle(
    disk.path.change({ ...write, data: pattern(4 * KiB, 2) }, { fua: false }),
    'a write',
  )
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  expect((await bench.replay()).equals(bench.source())).toBe(true)
})

test('storage that opens again but still cannot flush is not back (T7)', async () => {
  let flushFails = false
  const bench = new DiskBench({
    seed: 4,
    wrapDevice: (device) =>
      failing(device, ({ operation }) => (flushFails && operation === 'flush' ? { code: 'EIO' } : null)),
  })
  const disk = await bench.openStreaming()
  flushFails = true
  await expect(bench.world.settle(disk.path.flush())).rejects.toThrow('EIO')
  await bench.world.settle(bench.world.clock(bench.life).sleep(60_000))
  expect(disk.status()).toMatchObject({ state: 'FAILED', code: 'LOCAL_STORAGE_FAILED' })
  const write = disk.path.change({ kind: 'write', byteOffset: 0, data: pattern(512, 1) }, { fua: false })
  await expect(bench.world.settle(write)).rejects.toThrow('EIO')
  flushFails = false
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  expect(disk.status().position?.generation).toBe(2)
  expect(await bench.replay()).toEqual(bench.source())
})

test.each(['the same file', 'another file'])(
  'an orderly stop while a storage that failed closes slowly leaves nothing open, with %s in its place',
  async (place) => {
    const over = Promise.withResolvers<void>()
    let broken = false
    const bench = new DiskBench({
      seed: 3,
      wrapDevice: (device) => {
        const isSlow = !broken
        const close = device.close.bind(device)
        const slow = Object.assign(device, { close: () => over.promise.then(close) })
        return isSlow ? failing(slow, () => (broken ? { code: 'EIO' } : null)) : device
      },
    })
    const disk = await bench.openStreaming()
    broken = true
    await expect(bench.world.settle(disk.path.flush())).rejects.toThrow('EIO')
    if (place === 'another file') bench.replaceSource(bench.options.sizeBytes)
    await bench.world.settle(bench.world.clock(bench.life).sleep(1_500))
    const closing = disk.close()
    await bench.world.run(200)
    over.resolve()
    await bench.world.settle(closing)
    await bench.world.run(200)
    expect(bench.stillOpen).toEqual([])
    expect((await bench.durableRecord()).cleanShutdown).toBe(false)
  },
)
