import { codeOf } from '@blockferry/runtime'
import { failing } from '@blockferry/storage'
import { expect, test } from 'vitest'
import { DiskBench } from '../testing/disk-bench.ts'
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
