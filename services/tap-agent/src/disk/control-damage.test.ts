import { KiB } from '@blockferry/runtime'
import { openControlSlots } from '@blockferry/storage'
import { describe, expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'
import type { TapDisk } from './tap-disk.ts'

const slotBytes = 8 * KiB

async function write(bench: DiskBench, disk: TapDisk, tag: number): Promise<void> {
  const data = pattern(64 * KiB, tag)
  await bench.world.settle(disk.path.change({ kind: 'write', byteOffset: 0, data }, { fua: false }))
}

/** Which of the slots a start-up would believe. */
function newestSlot(bench: DiskBench): number {
  const serial = (slot: number) => {
    const header = Buffer.alloc(24)
    bench.slots.medium.read(slot * slotBytes, header)
    return header.readBigInt64LE(8)
  }
  return serial(0) > serial(1) ? 0 : 1
}

function rot(bench: DiskBench, slot: number): void {
  bench.slots.medium.flipBit(slot * slotBytes + 30, 4)
}

async function resynchronised(bench: DiskBench, disk: TapDisk, generation: number): Promise<void> {
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  expect(disk.status().position?.generation).toBe(generation)
  expect(await bench.replay()).toEqual(bench.source())
  bench.kill()
  expect((await bench.open()).status()).toMatchObject({ state: 'STREAMING', position: { generation } })
}

describe('one rotten control slot', () => {
  test('may have been the one that said AHEAD: the disk is owed whole, and says why (T5)', async () => {
    const bench = new DiskBench({ seed: 1 })
    const disk = await bench.openStreaming()
    bench.kafkaAway = true
    disk.kafka('KAFKA_UNREACHABLE')
    await bench.world.settle(disk.resync({ expectedGeneration: 1, code: 'RESYNC_REQUESTED' }))
    await write(bench, disk, 1)
    bench.kill()
    rot(bench, newestSlot(bench))
    bench.kafkaAway = false
    const again = await bench.open()
    expect(again.status()).toMatchObject({ state: 'AHEAD', code: 'CONTROL_DAMAGED' })
    await resynchronised(bench, again, 2)
  })

  test('may have held a newer generation: its number is not given twice (S2)', async () => {
    const bench = new DiskBench({ seed: 2 })
    const disk = await bench.openStreaming()
    disk.kafka('KAFKA_UNREACHABLE')
    await bench.world.settle(disk.resync({ expectedGeneration: 1, code: 'RESYNC_REQUESTED' }))
    // Hints are saved now: the next record is that of the new generation, and the last.
    await bench.world.settle(disk.tick())
    disk.kafka(null)
    await bench.world.settle(disk.tick())
    await bench.world.until(() => disk.status().state === 'RESYNCING', 'RESYNCING')
    await bench.world.until(() => (disk.status().position?.sequence ?? 0) > 0, 'a frame of it')
    bench.kill()
    rot(bench, newestSlot(bench))
    // Kafka may have lost what it knew, too.
    bench.mints = 0
    const again = await bench.open()
    expect(again.status().position?.generation).toBe(2)
    await resynchronised(bench, again, 3)
  })
})

describe('two rotten control slots', () => {
  async function lost(options: { spoolBytesMax?: number } = {}, writes = 1): Promise<DiskBench> {
    const bench = new DiskBench({ seed: 3, ...options })
    const disk = await bench.openStreaming()
    for (let tag = 1; tag <= writes; tag += 1) await write(bench, disk, tag)
    bench.kill()
    for (const slot of [0, 1]) rot(bench, slot)
    return bench
  }

  test('cost a resync, not the service (G1, T5)', async () => {
    const bench = await lost()
    const disk = await bench.open()
    expect(disk.status()).toMatchObject({ state: 'AHEAD', code: 'CONTROL_LOST' })
    expect(disk.status().position?.generation).toBe(1)
    const end = disk.status().position
    await write(bench, disk, 2)
    await resynchronised(bench, disk, 2)
    const begun = (await bench.stream()).find(({ generation }) => generation.number === 2)
    expect(begun?.generation).toMatchObject({ reason: 'resync', base: { kind: 'full' }, predecessor: end })
  })

  test('do not make a known disk a new one whose source may be created', async () => {
    const bench = await lost()
    bench.sourceFile = null
    await expect(bench.open()).rejects.toMatchObject({ code: 'SOURCE_MISSING' })
    await expect(bench.open()).rejects.toMatchObject({ code: 'SOURCE_MISSING' })
    expect(bench.sourceFile).toBeNull()
  })

  test('leave no full spool in the way of the resync: nobody knows what Kafka has of it', async () => {
    const bench = await lost({ spoolBytesMax: 4 * 512 * KiB }, 24)
    const disk = await bench.open()
    await resynchronised(bench, disk, 2)
  })
})

test('a record of a later version is refused, for it may owe what this one cannot read', async () => {
  const bench = new DiskBench({ seed: 4 })
  await bench.world.settle((await bench.openStreaming()).close())
  const slots = await openControlSlots({ file: bench.slots.open(), slotBytes })
  await slots.write(Buffer.from('{"formatVersion":3}'))
  await expect(bench.open()).rejects.toMatchObject({ code: 'STATE_VERSION_UNKNOWN' })
  await slots.write(Buffer.from('no record at all'))
  expect((await bench.open()).status().code).toBe('CONTROL_LOST')
})
