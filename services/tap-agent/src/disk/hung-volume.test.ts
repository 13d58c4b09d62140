import { codeOf, KiB } from '@blockferry/runtime'
import { failing } from '@blockferry/storage'
import { describe, expect, test } from 'vitest'
import { DiskBench, pattern, type VolumeOperation } from '../testing/disk-bench.ts'
import type { TapDisk } from './tap-disk.ts'

/** Holds the named operations of the state volume from now on, until the answer is called. */
function hang(bench: DiskBench, ...operations: readonly VolumeOperation[]): () => void {
  const released = Promise.withResolvers<void>()
  bench.volumeGate = async (operation) => {
    if (operations.includes(operation)) await released.promise
  }
  return () => {
    bench.volumeGate = () => Promise.resolve()
    released.resolve()
  }
}

interface Asked {
  readonly outcome: Promise<string>
  readonly afterMs: () => number | null
}

/** A write, what became of it, and how long that took. */
function ask(bench: DiskBench, disk: TapDisk, tag: number): Asked {
  const { world } = bench
  const sinceMs = world.nowMs
  let afterMs: number | null = null
  const data = pattern(4 * KiB, tag)
  const outcome = disk.path.change({ kind: 'write', byteOffset: tag * 4 * KiB, data }, { fua: false }).then(
    () => 'done',
    (error: unknown) => codeOf(error),
  )
  void outcome.then(() => (afterMs = world.nowMs - sinceMs))
  return { outcome, afterMs: () => afterMs }
}

/** Seconds as the agent ticks them: the one before is not waited for. */
async function seconds(bench: DiskBench, disk: TapDisk, count: number): Promise<void> {
  for (let second = 0; second < count; second += 1) {
    void disk.tick()
    await bench.world.settle(bench.world.clock(bench.life).sleep(1_000))
  }
}

async function expectRefusedInTime(bench: DiskBench, asked: readonly Asked[]): Promise<void> {
  for (const { afterMs, outcome } of asked) {
    expect(await bench.world.settle(outcome)).toBe('STATE_VOLUME_FAILED')
    expect(afterMs()).toBeLessThanOrEqual(30_000)
  }
}

async function expectResynchronised(bench: DiskBench, disk: TapDisk): Promise<void> {
  await bench.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
  expect(disk.status().position?.generation).toBe(2)
  expect(await bench.replay()).toEqual(bench.source())
}

describe('an append that hangs (G1, T3)', () => {
  test.each([
    { at: 'append', slots: true },
    { at: 'append', slots: false },
    { at: 'appended', slots: true },
    { at: 'appended', slots: false },
  ] as const)(
    'before or after its bytes are there ($at, slots too: $slots) holds a write for 30 s at most',
    async ({ at, slots }) => {
      const bench = new DiskBench({ seed: 1 })
      const disk = await bench.openStreaming()
      const before = bench.source()
      const release = slots ? hang(bench, at, 'sync', 'slot') : hang(bench, at)
      const inFlight = ask(bench, disk, 1)
      await seconds(bench, disk, 3)
      const queued = ask(bench, disk, 2)
      await seconds(bench, disk, 12)
      const parked = ask(bench, disk, 3)
      await seconds(bench, disk, 16)
      await expectRefusedInTime(bench, [inFlight, queued, parked, ask(bench, disk, 4)])
      expect(disk.status()).toMatchObject({ state: 'FAILED', code: 'STATE_VOLUME_FAILED' })
      release()
      await bench.world.until(() => disk.status().state === 'AHEAD', 'AHEAD')
      expect(disk.status().code).toBe('SPOOL_SLOW')
      // What was refused is not done afterwards.
      expect(bench.source()).toEqual(before)
      expect(await bench.world.settle(ask(bench, disk, 5).outcome)).toBe('done')
      await expectResynchronised(bench, disk)
    },
  )

  test.each(['append', 'appended'] as const)(
    'leaves what was refused in doubt: killed then, the next start reads it back (%s)',
    async (at) => {
      const bench = new DiskBench({ seed: 2 })
      const disk = await bench.openStreaming()
      hang(bench, at, 'sync', 'slot')
      const refused = ask(bench, disk, 1)
      await seconds(bench, disk, 31)
      await expectRefusedInTime(bench, [refused])
      bench.kill()
      bench.volumeGate = () => Promise.resolve()
      const again = await bench.open()
      expect(again.status()).toMatchObject({ state: 'STREAMING', position: { generation: 1 } })
      expect(await bench.replay()).toEqual(bench.source())
    },
  )

  test('owes what was refused also when the agent is stopped in order right then (T5)', async () => {
    const bench = new DiskBench({ seed: 3 })
    const disk = await bench.openStreaming()
    const release = hang(bench, 'appended', 'sync', 'slot')
    const refused = ask(bench, disk, 1)
    await seconds(bench, disk, 31)
    await expectRefusedInTime(bench, [refused])
    const closed = disk.close()
    release()
    await bench.world.settle(closed)
    const again = await bench.open()
    expect(again.status().state).toBe('AHEAD')
    await expectResynchronised(bench, again)
  })

  test('and fails in the end loses what it held, once', async () => {
    const bench = new DiskBench({ seed: 7 })
    const disk = await bench.openStreaming()
    const before = bench.source()
    const failure = Promise.withResolvers<never>()
    bench.volumeGate = (operation) => (operation === 'append' ? failure.promise : Promise.resolve())
    const refused = ask(bench, disk, 1)
    await seconds(bench, disk, 31)
    await expectRefusedInTime(bench, [refused])
    bench.volumeGate = () => Promise.resolve()
    failure.reject(Object.assign(new Error('EIO'), { code: 'EIO' }))
    await bench.world.until(() => disk.status().state === 'AHEAD', 'AHEAD')
    await expectResynchronised(bench, disk)
    expect(bench.source()).toEqual(before)
  })

  test('and is stopped in order while the slots fail for a moment is owed all the same (T5)', async () => {
    const bench = new DiskBench({ seed: 8 })
    const disk = await bench.openStreaming()
    const release = hang(bench, 'appended')
    const refused = ask(bench, disk, 1)
    await seconds(bench, disk, 31)
    await expectRefusedInTime(bench, [refused])
    const closed = disk.close()
    release()
    let fails = 1
    bench.volumeGate = async (operation) => {
      if (operation === 'slot' && fails-- > 0) throw Object.assign(new Error('EIO'), { code: 'EIO' })
    }
    await bench.world.settle(closed)
    expect(await bench.durableRecord()).toMatchObject({ mode: 'AHEAD', aheadCode: 'SPOOL_SLOW' })
  })

  test('goes on refusing at once when the slots answer again and the spool does not', async () => {
    const bench = new DiskBench({ seed: 9 })
    const disk = await bench.open()
    const slots = hang(bench, 'slot')
    await seconds(bench, disk, 1)
    slots()
    await bench.world.until(() => disk.status().state === 'RESYNCING', 'RESYNCING')
    const held = Promise.withResolvers<void>()
    const spool = Promise.withResolvers<void>()
    bench.volumeGate = (operation) => (operation === 'slot' ? held.promise : Promise.resolve())
    await seconds(bench, disk, 3)
    bench.volumeGate = (operation) => (operation === 'slot' ? held.promise : spool.promise)
    const refused = ask(bench, disk, 1)
    await seconds(bench, disk, 31)
    await expectRefusedInTime(bench, [refused])
    held.resolve()
    await seconds(bench, disk, 1)
    await expectRefusedInTime(bench, [ask(bench, disk, 2)])
    spool.resolve()
    bench.volumeGate = () => Promise.resolve()
    await bench.world.until(() => disk.status().state === 'AHEAD', 'AHEAD')
    await expectResynchronised(bench, disk)
  })

  test('that ends in time costs the guest nothing but the wait', async () => {
    const bench = new DiskBench({ seed: 4 })
    const disk = await bench.openStreaming()
    const release = hang(bench, 'append')
    const [first, second] = [ask(bench, disk, 1), ask(bench, disk, 2)]
    await seconds(bench, disk, 20)
    expect(first.afterMs()).toBeNull()
    release()
    expect(await bench.world.settle(Promise.all([first.outcome, second.outcome]))).toEqual(['done', 'done'])
    await bench.world.until(() => disk.status().state === 'AHEAD', 'AHEAD')
    expect(disk.status().code).toBe('SPOOL_SLOW')
    await expectResynchronised(bench, disk)
  })
})

test('a write whose read-back hangs with the spool hears its error in time, and stays in doubt (S5, G1)', async () => {
  let broken = false
  const bench = new DiskBench({
    seed: 5,
    wrapDevice: (device) =>
      failing(device, ({ operation }) =>
        broken && operation === 'write' ? { code: 'EIO', short: true } : null,
      ),
  })
  const disk = await bench.openStreaming()
  broken = true
  let appends = 0
  bench.volumeGate = async (operation) => {
    if (operation === 'append') appends += 1
    if (appends > 1 || operation === 'slot') await new Promise(() => {})
  }
  const failed = ask(bench, disk, 1)
  await seconds(bench, disk, 32)
  expect(failed.afterMs()).toBeLessThanOrEqual(31_000)
  expect(await failed.outcome).toBe('EIO')
  bench.kill()
  broken = false
  bench.volumeGate = () => Promise.resolve()
  const again = await bench.open()
  expect(again.status().state).toBe('STREAMING')
  expect(await bench.replay()).toEqual(bench.source())
})

test('control slots that hang hold a write for 30 s at most, as slots that fail do', async () => {
  const bench = new DiskBench({ seed: 6 })
  const disk = await bench.openStreaming()
  const release = hang(bench, 'slot')
  void disk.resync({ expectedGeneration: 1, code: 'RESYNC_REQUESTED' })
  const parked = ask(bench, disk, 1)
  await seconds(bench, disk, 31)
  await expectRefusedInTime(bench, [parked])
  release()
  await bench.world.until(() => disk.status().state === 'AHEAD', 'AHEAD')
  expect(await bench.world.settle(ask(bench, disk, 2).outcome)).toBe('done')
  await expectResynchronised(bench, disk)
})
