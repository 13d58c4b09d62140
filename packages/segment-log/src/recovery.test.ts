import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { MemorySegmentDirectory } from './memory-segment-files.ts'
import { openSegmentLogOn, removeSegmentLog } from './open-segment-log.ts'
import { segmentName, segmentStartOf } from './segment-header.ts'
import type { Lsn } from './segment-log.ts'
import type { KeptFrame } from './testing/append-history.ts'
import { readAll } from './testing/append-history.ts'
import { seededRandom } from './testing/seeded-random.ts'

const longRun = process.env.BLOCKFERRY_TEST_COUNTS === 'long'
const segmentBytes = 4096
const options = { limits: { segmentBytes, bytesMax: 1 << 20 }, random: seededRandom(1) }

interface Written {
  readonly directory: MemorySegmentDirectory
  readonly appends: readonly (readonly Lsn[])[]
  readonly frames: readonly KeptFrame[]
  readonly end: Lsn
}

/** A log of appends whose bodies hold no zero byte, so that every damage shows. */
async function write(appends: readonly (readonly number[])[]): Promise<Written> {
  const directory = new MemorySegmentDirectory()
  const { log } = await openSegmentLogOn(directory.open(), options)
  const lsns: (readonly Lsn[])[] = []
  for (const sizes of appends) lsns.push(await log.append(sizes.map((size) => [Buffer.alloc(size, 0xa5)])))
  const written = { directory, appends: lsns, frames: await readAll(log), end: log.appendedThrough }
  await log.close()
  return written
}

function reopen(directory: MemorySegmentDirectory, scanFrom = 0) {
  return openSegmentLogOn(directory.open(), { ...options, scanFrom })
}

test('an append cut at any byte is cut whole, reported as torn, never as corrupt (F3, O2)', async () => {
  const sizes = [[200], [50, 7, 90]]
  const { appends, end } = await write(sizes)
  const start = appends[1]![0]!
  for (let cutAt = start; cutAt < end; cutAt += 1) {
    const { directory } = await write(sizes)
    directory.mediumOf(segmentName(0)).zero(cutAt, segmentBytes - cutAt)
    const { log, recovery } = await reopen(directory)
    // The last frame's padding is no part of what counts.
    if (log.appendedThrough === end) expect(end - cutAt).toBeLessThan(8)
    else expect(recovery).toEqual({ tornBytes: expect.any(Number), corruptAtLsn: null })
    if (log.appendedThrough !== end) expect(log.appendedThrough).toBe(start)
    expect(recovery.tornBytes > 0).toBe(log.appendedThrough !== end && cutAt > start)
  }
})

test('one flipped bit ends the log before its frame: corrupt with frames after it, torn at the very end (F1, O1, O2)', async () => {
  const sizes = fc.array(fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 3 }), {
    minLength: 2,
    maxLength: 8,
  })
  await fc.assert(
    fc.asyncProperty(
      sizes,
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      fc.nat(7),
      async (appends, share, bit) => {
        const written = await write(appends)
        const index = Math.floor(written.frames.length * share)
        const frame = written.frames[index]!
        const start = segmentStartOf(frame.lsn, segmentBytes)
        const byte = Math.floor((32 + frame.body.length) * ((share * 7919) % 1))
        written.directory.mediumOf(segmentName(start)).flipBit(frame.lsn - start + byte, bit)
        const { log, recovery } = await reopen(written.directory)
        const append = written.appends.findLast(([first]) => first! <= frame.lsn)!
        const isLastFrame = index === written.frames.length - 1
        expect(recovery.corruptAtLsn).toBe(isLastFrame ? null : frame.lsn)
        expect(recovery.tornBytes > 0).toBe(isLastFrame)
        expect(await readAll(log)).toEqual(written.frames.filter(({ lsn }) => lsn < append[0]!))
      },
    ),
    { numRuns: longRun ? 5_000 : 80 },
  )
})

test('a log that was cut opens clean the next time', async () => {
  const { directory, appends } = await write([[500], [600], [700]])
  directory.mediumOf(segmentName(0)).flipBit(appends[1]![0]! + 40, 0)
  const { log, recovery } = await reopen(directory)
  expect(recovery.corruptAtLsn).toBe(appends[1]![0])
  await log.close()
  const again = await reopen(directory)
  expect(again.recovery).toEqual({ tornBytes: 0, corruptAtLsn: null })
})

test('frames of another log at the same place are not ours (F1)', async () => {
  const { directory } = await write([[500], [600]])
  const medium = directory.mediumOf(segmentName(0))
  const foreign = Buffer.alloc(segmentBytes - 64)
  medium.read(64, foreign)
  await removeSegmentLog(directory.open())
  const { log } = await openSegmentLogOn(directory.open(), { ...options, random: seededRandom(2) })
  await log.close()
  directory.mediumOf(segmentName(0)).write(64, foreign)
  const { log: reopened, recovery } = await reopen(directory)
  expect(await readAll(reopened)).toEqual([])
  expect(recovery.corruptAtLsn).toBe(null)
})

test('a stale second frame is refused though the retried first one is the same byte for byte (F2)', async () => {
  const { directory, appends } = await write([[504], [504]])
  const medium = directory.mediumOf(segmentName(0))
  const [first, second] = [appends[0]![0]!, appends[1]![0]!]
  const stale = Buffer.alloc(segmentBytes - second)
  medium.read(second, stale)
  medium.zero(first, segmentBytes - first)
  const { log } = await reopen(directory)
  // Attempts began anew with nothing left to see: let them pass those of the stale frame.
  for (let attempt = 0; attempt < 3; attempt += 1) await log.append([[Buffer.alloc(8)]])
  await log.append([[Buffer.alloc(second - first - 3 * 40 - 32)]])
  expect(log.appendedThrough).toBe(second)
  await log.close()
  medium.write(second, stale)
  const { log: reopened, recovery } = await reopen(directory)
  expect(reopened.appendedThrough).toBe(second)
  expect(recovery.corruptAtLsn).toBe(null)
})

test('a missing segment ends the log before the gap and is reported', async () => {
  const { directory, frames } = await write([[4000], [4000], [4000]])
  await directory.open().remove(segmentName(segmentBytes))
  const { log, recovery } = await reopen(directory)
  expect(recovery.corruptAtLsn).not.toBe(null)
  expect(await readAll(log)).toEqual(frames.slice(0, 1))
})

test('a lost first header is reported, not taken for a new log', async () => {
  const { directory } = await write([[500]])
  directory.mediumOf(segmentName(0)).flipBit(20, 3)
  const { log, recovery } = await reopen(directory)
  expect(recovery.corruptAtLsn).toBe(64)
  expect(log.appendedThrough).toBe(64)
})

test('a log keeps its own segment size, and a new one begins where it is told', async () => {
  const directory = new MemorySegmentDirectory()
  const { log } = await openSegmentLogOn(directory.open(), { ...options, createAtLsn: 10_000 })
  expect(log.firstLsn).toBe(3 * segmentBytes + 64)
  await log.append([[Buffer.alloc(100)]])
  await log.close()
  const other = { ...options, limits: { segmentBytes: 8192, bytesMax: 1 << 20 } }
  const { log: again } = await openSegmentLogOn(directory.open(), other)
  expect(again.allocatedBytes).toBe(segmentBytes)
  expect(await readAll(again)).toHaveLength(1)
})
