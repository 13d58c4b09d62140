import { KiB } from '@blockferry/runtime'
import { failing } from '@blockferry/storage'
import { describe, expect, test } from 'vitest'
import { DiskBench, pattern } from '../testing/disk-bench.ts'
import { createFlushGate } from './flush-gate.ts'

/** A power loss that keeps no sector which was not flushed. */
const keepingNothing = { uint32: () => 1, hex: () => '' }

const change = { kind: 'write', byteOffset: 0, data: pattern(4 * KiB, 7) } as const

/** What the disk holds of the write after the host lost power right after `answered`. */
async function afterPowerLoss(answered: (bench: DiskBench) => Promise<void>): Promise<boolean> {
  const bench = new DiskBench({ seed: 1 })
  await bench.openStreaming()
  await bench.world.settle(answered(bench), 'the answer')
  bench.world.kill(bench.life)
  bench.medium.crash({ loseUnflushed: keepingNothing })
  return bench.source().subarray(0, change.data.length).equals(change.data)
}

describe('what was answered and the host loses power (T1)', () => {
  test('is on the disk when it was written with FUA', async () => {
    expect(await afterPowerLoss((bench) => bench.require().path.change(change, { fua: true }))).toBe(true)
  })

  test('is on the disk when a zeroing had FUA', async () => {
    const bench = new DiskBench({ seed: 2 })
    bench.medium.write(0, pattern(4 * KiB, 9))
    const disk = await bench.openStreaming()
    await bench.world.settle(disk.path.flush())
    const zero = { kind: 'zero', byteOffset: 0, byteLength: 4 * KiB, mayUnmap: true } as const
    await bench.world.settle(disk.path.change(zero, { fua: true }))
    bench.world.kill(bench.life)
    bench.medium.crash({ loseUnflushed: keepingNothing })
    expect(
      bench
        .source()
        .subarray(0, 4 * KiB)
        .equals(Buffer.alloc(4 * KiB)),
    ).toBe(true)
  })

  test('is on the disk when a flush came after it, and without either it need not be', async () => {
    const flushed = async (bench: DiskBench) => {
      await bench.require().path.change(change, { fua: false })
      await bench.require().path.flush()
    }
    expect(await afterPowerLoss(flushed)).toBe(true)
    expect(await afterPowerLoss((bench) => bench.require().path.change(change, { fua: false }))).toBe(false)
  })
})

describe('a flush (F1)', () => {
  /** A device whose flushes end when the test says so. */
  function gated() {
    const begun: PromiseWithResolvers<void>[] = []
    const gate = createFlushGate(() => {
      const flight = Promise.withResolvers<void>()
      begun.push(flight)
      return flight.promise
    })
    const done: string[] = []
    const flush = (name: string) =>
      gate.flush().then(
        () => done.push(name),
        () => done.push(`${name} failed`),
      )
    return { begun, done, flush }
  }

  const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

  test('never ends with a device flush that had begun before it; those who wait share the next', async () => {
    const { begun, done, flush } = gated()
    void flush('first')
    void flush('second')
    void flush('third')
    await turn()
    expect(begun).toHaveLength(1)
    begun[0]?.resolve()
    await turn()
    expect(done).toEqual(['first'])
    expect(begun).toHaveLength(2)
    void flush('fourth')
    begun[1]?.resolve()
    await turn()
    expect(done).toEqual(['first', 'second', 'third'])
    expect(begun).toHaveLength(3)
    begun[2]?.resolve()
    await turn()
    expect(done).toEqual(['first', 'second', 'third', 'fourth'])
  })

  test('is told of its own failure only', async () => {
    const { begun, done, flush } = gated()
    void flush('first')
    void flush('second')
    begun[0]?.reject(new Error('EIO'))
    await turn()
    begun[1]?.resolve()
    await turn()
    expect(done).toEqual(['first failed', 'second'])
  })

  test('covers a write that completed while an earlier flush was under way', async () => {
    let hold: Promise<void> | null = null
    const bench = new DiskBench({
      seed: 3,
      wrapDevice: (device) => ({
        ...failing(device, () => null),
        flush: async () => {
          // Its effect is that of the moment it began.
          await device.flush()
          await hold
        },
      }),
    })
    const disk = await bench.openStreaming()
    const slow = Promise.withResolvers<void>()
    hold = slow.promise
    const earlier = disk.path.flush()
    await bench.world.settle(bench.world.clock(bench.life).sleep(10))
    hold = null
    await bench.world.settle(disk.path.change(change, { fua: false }))
    const later = disk.path.flush()
    slow.resolve()
    await bench.world.settle(Promise.all([earlier, later]))
    bench.world.kill(bench.life)
    bench.medium.crash({ loseUnflushed: keepingNothing })
    expect(bench.source().subarray(0, change.data.length).equals(change.data)).toBe(true)
  })
})
