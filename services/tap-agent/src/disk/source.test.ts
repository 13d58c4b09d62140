import { KiB } from '@blockferry/runtime'
import { failing, openControlSlots } from '@blockferry/storage'
import { expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'
import type { TapDisk } from './tap-disk.ts'

async function write(bench: DiskBench, disk: TapDisk, tag: number): Promise<void> {
  const data = pattern(4 * KiB, tag)
  await bench.world.settle(disk.path.change({ kind: 'write', byteOffset: 0, data }, { fua: false }))
}

/** A disk that streamed and was stopped in order. */
async function stopped(): Promise<DiskBench> {
  const bench = new DiskBench({ seed: 1 })
  const disk = await bench.openStreaming()
  await write(bench, disk, 1)
  await bench.world.settle(disk.close())
  return bench
}

test('a known disk whose source is gone is not served, and nothing is created in its place (G4)', async () => {
  const bench = await stopped()
  const { sourceFile } = bench
  bench.sourceFile = null
  await expect(bench.open()).rejects.toMatchObject({ code: 'SOURCE_MISSING' })
  expect(bench.sourceFile).toBeNull()
  expect(bench.stillOpen).toEqual([])
  bench.sourceFile = sourceFile
  const disk = await bench.open()
  expect(disk.status()).toMatchObject({ state: 'STREAMING', position: { generation: 1 } })
})

test('a new disk whose source is missing gets one', async () => {
  const bench = new DiskBench({ seed: 2 })
  bench.sourceFile = null
  const disk = await bench.openStreaming()
  await write(bench, disk, 1)
  expect(await bench.replay()).toEqual(bench.source())
})

test('another file of the same size in the source’s place is owed whole, and says so (T5)', async () => {
  const bench = await stopped()
  bench.replaceSource(bench.options.sizeBytes)
  const disk = await bench.open()
  expect(disk.status()).toMatchObject({ state: 'AHEAD', code: 'SOURCE_REPLACED' })
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  expect(disk.status().position?.generation).toBe(2)
  expect(await bench.replay()).toEqual(bench.source())
  await bench.world.settle(disk.close())
  expect((await bench.open()).status()).toMatchObject({ state: 'STREAMING', position: { generation: 2 } })
})

test('a source of another size is refused, for the stream has no word for it', async () => {
  const bench = await stopped()
  bench.replaceSource(2 * bench.options.sizeBytes)
  await expect(bench.open()).rejects.toMatchObject({ code: 'SOURCE_RESIZED' })
  expect(bench.stillOpen).toEqual([])
})

test('a record of format 1 knows no source: the one found is taken, and the next one compared with it', async () => {
  const bench = await stopped()
  const { formatVersion, source, ...content } = await bench.durableRecord()
  expect([formatVersion, source?.sizeBytes]).toEqual([2, bench.options.sizeBytes])
  const slots = await openControlSlots({ file: bench.slots.open(), slotBytes: 8 * KiB })
  await slots.write(Buffer.from(JSON.stringify({ formatVersion: 1, ...content })))
  const disk = await bench.open()
  expect(disk.status()).toMatchObject({ state: 'STREAMING', position: { generation: 1 } })
  await bench.world.settle(disk.close())
  bench.replaceSource(bench.options.sizeBytes)
  expect((await bench.open()).status().code).toBe('SOURCE_REPLACED')
})

/** A disk whose storage failed under it, and that tries to open it again. */
async function failed(): Promise<{
  readonly bench: DiskBench
  readonly disk: TapDisk
  readonly repair: () => void
}> {
  let broken = false
  const bench = new DiskBench({
    seed: 3,
    wrapDevice: (device) => failing(device, () => (broken ? { code: 'EIO' } : null)),
  })
  const disk = await bench.openStreaming()
  await write(bench, disk, 1)
  broken = true
  await expect(bench.world.settle(disk.path.flush())).rejects.toThrow('EIO')
  return { bench, disk, repair: () => (broken = false) }
}

async function pass(bench: DiskBench, delayMs: number): Promise<void> {
  await bench.world.settle(bench.world.clock(bench.life).sleep(delayMs))
}

test('a source that is gone when its storage is opened again is waited for, never created', async () => {
  const { bench, disk, repair } = await failed()
  const { sourceFile } = bench
  bench.sourceFile = null
  repair()
  await pass(bench, 40_000)
  expect(bench.sourceFile).toBeNull()
  expect(disk.status()).toMatchObject({ state: 'FAILED', code: 'SOURCE_MISSING' })
  bench.sourceFile = sourceFile
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  expect(await bench.replay()).toEqual(bench.source())
})

test('a source that is another file when its storage is opened again is remembered as the one served', async () => {
  const { bench, disk, repair } = await failed()
  bench.replaceSource(bench.options.sizeBytes)
  repair()
  await pass(bench, 40_000)
  expect(disk.status()).toMatchObject({ state: 'AHEAD', code: 'SOURCE_REPLACED' })
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  bench.kill()
  const again = await bench.open()
  expect(again.status()).toMatchObject({ state: 'STREAMING', position: { generation: 2 } })
  expect(await bench.replay()).toEqual(bench.source())
})

test('a source of another size is not taken back into service', async () => {
  const { bench, disk, repair } = await failed()
  bench.replaceSource(2 * bench.options.sizeBytes)
  repair()
  await pass(bench, 40_000)
  expect(disk.status()).toMatchObject({ state: 'FAILED', code: 'SOURCE_RESIZED' })
})
