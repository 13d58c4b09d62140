import { KiB, MiB } from '@blockferry/runtime'
import { writingThrough } from '@blockferry/storage'
import { describe, expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'
import type { TapDisk } from './tap-disk.ts'

function write(disk: TapDisk, byteOffset: number, data: Buffer): Promise<void> {
  return disk.path.change({ kind: 'write', byteOffset, data }, { fua: false })
}

/** Writes until the disk goes AHEAD, 64 KiB at a time, some at once. */
async function writeUntilAhead(bench: DiskBench, disk: TapDisk): Promise<void> {
  for (let tag = 1; disk.status().state !== 'AHEAD'; tag += 1) {
    const writes = [0, 1, 2].map((lane) => write(disk, lane * 64 * KiB, pattern(64 * KiB, tag * 3 + lane)))
    await bench.world.settle(Promise.all(writes), 'writes')
    expect(tag).toBeLessThan(500)
  }
}

/** Like writeUntilAhead, with the marks that go with a cut and no reply pending. */
const tight = { spoolBytesMax: 4 * 512 * KiB } as const

describe('a spool that takes nothing more', () => {
  test('sends the disk AHEAD: the guest goes on, and no number is left behind (S4)', async () => {
    const bench = new DiskBench({ seed: 1, ...tight })
    const disk = await bench.openStreaming()
    bench.kafkaAway = true
    disk.kafka('KAFKA_UNREACHABLE')
    await writeUntilAhead(bench, disk)
    expect(disk.status()).toMatchObject({ state: 'AHEAD', code: 'SPOOL_FULL' })
    const newest = (await bench.stream()).at(-1)
    expect(disk.status().position?.sequence).toBe(newest?.sequence)
    const before = (await bench.stream()).length
    await bench.world.settle(write(disk, 0, pattern(4 * KiB, 999)))
    expect(await bench.stream()).toHaveLength(before)
    expect(
      bench
        .source()
        .subarray(0, 4 * KiB)
        .equals(pattern(4 * KiB, 999)),
    ).toBe(true)
  })

  test('makes AHEAD durable before the first unspooled write reaches the disk (T5)', async () => {
    let bench: DiskBench | null = null
    const modes: string[] = []
    const made: DiskBench = new DiskBench({
      seed: 2,
      ...tight,
      wrapDevice: (device) =>
        writingThrough(device, async (byteOffset, data) => {
          const mode = await made.durableMode()
          const tag = data[0]?.readUInt16LE(0) ?? 0
          const spooled = (await made.stream()).some(
            ({ data: held }) => held.length > 0 && held.readUInt16LE(0) === tag,
          )
          if (!spooled) modes.push(mode)
          await device.write(byteOffset, data)
        }),
    })
    bench = made
    const disk = await bench.openStreaming()
    bench.kafkaAway = true
    disk.kafka('KAFKA_UNREACHABLE')
    await writeUntilAhead(bench, disk)
    expect(modes.length).toBeGreaterThan(0)
    expect(new Set(modes)).toEqual(new Set(['AHEAD']))
  })

  test('is followed by a new generation and a full sync once Kafka is back', async () => {
    const bench = new DiskBench({ seed: 3, ...tight })
    const disk = await bench.openStreaming()
    bench.kafkaAway = true
    disk.kafka('KAFKA_UNREACHABLE')
    await writeUntilAhead(bench, disk)
    const frozen = disk.status().consistentAsOfMs
    bench.kafkaAway = false
    disk.kafka(null)
    const end = disk.status().position
    const hint = { position: end ?? expect.fail('no position'), lsn: bench.publishedLsn() }
    disk.shipped(hint)
    await bench.world.settle(disk.tick())
    await bench.world.settle(disk.tick())
    await bench.world.until(() => disk.status().state !== 'AHEAD', 'RESYNCING')
    expect(disk.status().consistentAsOfMs).toBe(frozen)
    await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
    expect(disk.status().position?.generation).toBe(2)
    const first = (await bench.stream()).find(({ generation }) => generation.number === 2)
    expect(first?.generation).toMatchObject({ base: { kind: 'full' }, predecessor: end })
    expect((await bench.replay()).equals(bench.source())).toBe(true)
  })

  test('killed in AHEAD stays AHEAD: what was written unspooled is remembered', async () => {
    const bench = new DiskBench({ seed: 4, ...tight })
    const first = await bench.openStreaming()
    bench.kafkaAway = true
    first.kafka('KAFKA_UNREACHABLE')
    await writeUntilAhead(bench, first)
    write(first, 8 * KiB, pattern(4 * KiB, 77)).catch(() => {})
    await bench.world.run(3)
    bench.kill()
    const disk = await bench.open()
    expect(disk.status().state).toBe('AHEAD')
  })

  test('three times without a resync done is NOT_CONVERGING (T7)', async () => {
    const bench = new DiskBench({ seed: 5, sizeBytes: 8 * MiB, ...tight })
    for (let at = 0; at < 8 * MiB; at += 256 * KiB) bench.medium.write(at, pattern(256 * KiB, at / KiB))
    const disk = await bench.open()
    for (let round = 0; round < 3; round += 1) {
      expect(disk.status().code).not.toBe('NOT_CONVERGING')
      await bench.world.settle(disk.tick())
      await bench.world.settle(disk.tick())
      await bench.world.until(() => disk.status().state === 'RESYNCING', 'RESYNCING')
      await writeUntilAhead(bench, disk)
      disk.shipped({ position: disk.status().position ?? expect.fail(), lsn: bench.publishedLsn() })
    }
    expect(disk.status()).toMatchObject({ state: 'AHEAD', code: 'NOT_CONVERGING' })
  })
})

describe('a state volume without space', () => {
  test('loses the numbers of the failed append and all behind it, and replays equal afterwards', async () => {
    const bench = new DiskBench({ seed: 6, volumeBytes: 3 * 512 * KiB })
    const disk = await bench.openStreaming()
    bench.kafkaAway = true
    disk.kafka('KAFKA_UNREACHABLE')
    await writeUntilAhead(bench, disk)
    expect(disk.status()).toMatchObject({ state: 'AHEAD', code: 'SPOOL_FAILED' })
    expect(disk.status().position?.sequence).toBe((await bench.stream()).at(-1)?.sequence)
  })

  test('goes on saying so, however often a resync fails for it', async () => {
    const bench = new DiskBench({ seed: 11, sizeBytes: 8 * MiB, volumeBytes: 3 * 512 * KiB })
    for (let at = 0; at < 8 * MiB; at += 256 * KiB) bench.medium.write(at, pattern(256 * KiB, at / KiB))
    const disk = await bench.open()
    for (let round = 0; round < 4; round += 1) {
      await bench.world.settle(disk.tick())
      await bench.world.settle(disk.tick())
      await bench.world.until(() => disk.status().state === 'RESYNCING', 'RESYNCING')
      await writeUntilAhead(bench, disk)
      disk.shipped({ position: disk.status().position ?? expect.fail(), lsn: bench.publishedLsn() })
    }
    expect(disk.status()).toMatchObject({ state: 'AHEAD', code: 'SPOOL_FAILED' })
  })
})

test('a state volume that fails just when a sync is done refuses nothing for longer than it fails (G1)', async () => {
  let fails = false
  const bench = new DiskBench({ seed: 9, slotsFail: () => fails })
  const disk = await bench.open()
  await bench.world.settle(disk.tick())
  await bench.world.until(() => disk.status().state === 'RESYNCING', 'RESYNCING')
  fails = true
  const clock = bench.world.clock(bench.life)
  await bench.world.settle(clock.sleep(45_000))
  fails = false
  await bench.world.settle(clock.sleep(10_000))
  await bench.world.settle(write(disk, 0, pattern(4 * KiB, 1)))
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  expect((await bench.replay()).equals(bench.source())).toBe(true)
})

describe('deleting segments (T3)', () => {
  test('takes only what the target received whole, and makes evictedThrough durable before', async () => {
    const bench = new DiskBench({ seed: 7 })
    const disk = await bench.openStreaming()
    for (let tag = 1; tag <= 40; tag += 1) await bench.world.settle(write(disk, 0, pattern(64 * KiB, tag)))
    disk.shipped({ position: disk.status().position ?? expect.fail(), lsn: bench.publishedLsn() })
    await bench.world.settle(disk.tick())
    const all = await bench.stream()
    expect(all[0]?.sequence).toBe(1)
    const middle = all[Math.floor(all.length / 2)] ?? expect.fail()
    const { generation, sequence } = middle
    disk.received({ generation: generation.number, generationId: generation.id, sequence, chain: 0 })
    await bench.world.settle(disk.tick())
    const kept = await bench.stream()
    expect(kept[0]?.sequence).toBeGreaterThan(1)
    expect(kept[0]?.sequence).toBeLessThanOrEqual(sequence + 1)
    expect((await bench.durableRecord()).evictedThrough?.sequence).toBe((kept[0]?.sequence ?? 0) - 1)
  })

  test('has evictedThrough durable at the moment each segment goes, received or only acknowledged (T6, K1)', async () => {
    for (const isReceived of [true, false]) {
      const evictedAtRemoval: number[] = []
      const bench: DiskBench = new DiskBench({
        seed: 12,
        spoolBytesMax: 8 * 512 * KiB,
        wrapSegments: (files) => ({
          ...files,
          remove: async (name) => {
            evictedAtRemoval.push((await bench.durableRecord()).evictedThrough?.sequence ?? 0)
            await files.remove(name)
          },
        }),
      })
      const disk = await bench.openStreaming()
      for (let tag = 1; tag <= 44; tag += 1) await bench.world.settle(write(disk, 0, pattern(64 * KiB, tag)))
      const position = disk.status().position ?? expect.fail()
      disk.shipped({ position, lsn: bench.publishedLsn() })
      if (isReceived) disk.received(position)
      await bench.world.settle(disk.tick())
      const first = (await bench.stream())[0]?.sequence ?? expect.fail()
      expect(first).toBeGreaterThan(1)
      expect(new Set(evictedAtRemoval)).toEqual(new Set([first - 1]))
    }
  })

  test('takes nothing beyond the durable hint, where a restarted shipper reads on, whatever the target received', async () => {
    const bench = new DiskBench({ seed: 10 })
    const disk = await bench.openStreaming()
    for (let tag = 1; tag <= 40; tag += 1) await bench.world.settle(write(disk, 0, pattern(64 * KiB, tag)))
    const position = disk.status().position ?? expect.fail()
    const lsn = bench.publishedLsn()
    disk.received(position)
    await bench.world.settle(disk.tick())
    expect((await bench.stream())[0]?.sequence).toBe(1)
    disk.shipped({ position, lsn })
    await bench.world.settle(disk.tick())
    expect((await bench.stream())[0]?.sequence).toBeGreaterThan(1)
  })

  test('takes nothing for a received position of another history', async () => {
    const bench = new DiskBench({ seed: 8 })
    const disk = await bench.openStreaming()
    for (let tag = 1; tag <= 40; tag += 1) await bench.world.settle(write(disk, 0, pattern(64 * KiB, tag)))
    disk.shipped({ position: disk.status().position ?? expect.fail(), lsn: bench.publishedLsn() })
    disk.received({ generation: 1, generationId: 'f'.repeat(32), sequence: 1000, chain: 0 })
    await bench.world.settle(disk.tick())
    expect((await bench.stream())[0]?.sequence).toBe(1)
  })

  test('never takes a segment that holds an unfinished write', async () => {
    let hold: (() => void) | null = null
    const bench = new DiskBench({
      seed: 9,
      wrapDevice: (device) =>
        writingThrough(device, async (byteOffset, data) => {
          if (byteOffset === 128 * KiB) await new Promise<void>((resolve) => (hold = resolve))
          await device.write(byteOffset, data)
        }),
    })
    const disk = await bench.openStreaming()
    const stuck = write(disk, 128 * KiB, pattern(4 * KiB, 500))
    for (let tag = 1; tag <= 40; tag += 1) await bench.world.settle(write(disk, 0, pattern(64 * KiB, tag)))
    const position = disk.status().position ?? expect.fail()
    disk.shipped({ position, lsn: bench.publishedLsn() })
    disk.received(position)
    await bench.world.settle(disk.tick())
    const held = await bench.stream()
    expect(held.some(({ event }) => event.kind === 'write' && event.byteOffset === 128 * KiB)).toBe(true)
    const letGo: (() => void) | null = hold
    expect(letGo).not.toBeNull()
    ;(letGo as unknown as () => void)()
    await bench.world.settle(stuck)
    await bench.world.settle(disk.tick())
    expect((await bench.stream())[0]?.sequence).toBeGreaterThan(1)
  })
})

test('a resync the target asks for begins a new generation; an older request is ignored', async () => {
  const bench = new DiskBench({ seed: 10 })
  const disk = await bench.openStreaming()
  await bench.world.settle(disk.resync({ expectedGeneration: 0, code: 'RESYNC_REQUESTED' }))
  expect(disk.status().position?.generation).toBe(1)
  await bench.world.settle(disk.resync({ expectedGeneration: 1, code: 'RESYNC_REQUESTED' }))
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  expect(disk.status().position?.generation).toBe(2)
  await bench.world.settle(disk.resync({ expectedGeneration: 1, code: 'RESYNC_REQUESTED' }))
  expect(disk.status()).toMatchObject({ state: 'STREAMING', position: { generation: 2 } })
})
