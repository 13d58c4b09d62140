import { expect, test } from 'vitest'
import { faultySegmentFiles } from './faulty-segment-files.ts'
import type { SegmentFaultPlan, SegmentOperation } from './faulty-segment-files.ts'
import { MemorySegmentDirectory } from './memory-segment-files.ts'
import { openSegmentLogOn } from './open-segment-log.ts'
import { localPublishedLength } from './published-length.ts'
import { openSegmentFollowerOn } from './segment-follower.ts'
import { readAll } from './testing/append-history.ts'
import { seededRandom } from './testing/seeded-random.ts'

const limits = { segmentBytes: 4096, bytesMax: 6 * 4096 }
const random = seededRandom(1)

/** A log of three segments, two frames in each. */
async function openFilled(plan: SegmentFaultPlan = () => null) {
  const directory = new MemorySegmentDirectory()
  const published = localPublishedLength()
  const files = faultySegmentFiles(directory.open(), plan)
  const { log } = await openSegmentLogOn(files, { limits, random, published })
  for (let body = 1; body <= 6; body += 1) await log.append([[Buffer.alloc(1900, body)]])
  return { directory, log, published }
}

test('a restarted log is empty, goes on above all that went before, and is found so by the next opening', async () => {
  const { directory, log, published } = await openFilled()
  const before = log.appendedThrough
  await log.restart()
  expect(log.firstLsn).toBe(log.appendedThrough)
  expect(log.firstLsn).toBeGreaterThanOrEqual(before)
  expect(published.load()).toBe(log.appendedThrough)
  expect(log.allocatedBytes).toBe(4096)
  expect(await directory.open().list()).toHaveLength(1)
  await log.append([[Buffer.alloc(1900, 7)], [Buffer.alloc(1900, 8)], [Buffer.alloc(1900, 9)]])
  await log.sync()
  expect(log.durableThrough).toBe(log.appendedThrough)
  const bodies = (await readAll(log)).map(({ body }) => body.charCodeAt(0))
  expect(bodies).toEqual([7, 8, 9])
  const { log: reopened, recovery } = await openSegmentLogOn(directory.open(), {
    limits,
    random,
    scanFrom: 0,
  })
  expect(recovery).toEqual({ tornBytes: 0, corruptAtLsn: null })
  expect(await readAll(reopened)).toEqual(await readAll(log))
})

test('a restart forgets a failed sync with the bytes it was about, and no others (W3)', async () => {
  let fails = false
  const { log } = await openFilled((operation) => (fails && operation === 'sync' ? { code: 'EIO' } : null))
  fails = true
  await expect(log.sync()).rejects.toMatchObject({ code: 'LOG_SYNC_FAILED' })
  fails = false
  await expect(log.sync()).rejects.toMatchObject({ code: 'LOG_SYNC_FAILED' })
  await log.restart()
  await log.append([[Buffer.alloc(100, 7)]])
  await log.sync()
  expect(log.durableThrough).toBe(log.appendedThrough)
})

test('a damaged frame is gone with the rest', async () => {
  const { directory, log } = await openFilled()
  directory.mediumOf('0000000000008192.segment').flipBit(300, 1)
  await expect(readAll(log)).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
  await log.restart()
  await log.append([[Buffer.alloc(100, 7)]])
  expect(await readAll(log)).toHaveLength(1)
})

const operations: readonly SegmentOperation[] = ['create', 'write', 'sync', 'remove']
const failures = operations.flatMap((operation) => [1, 2, 3].map((nth) => ({ operation, nth })))

test.each(failures)(
  'a restart whose $operation fails (call $nth) leaves a log that takes appends, and may be tried again',
  async ({ nth, operation }) => {
    let calls = 0
    let armed = false
    const { log } = await openFilled((asked) => {
      if (!armed || asked !== operation) return null
      calls += 1
      return calls === nth ? { code: 'EIO', landedBytes: 20 } : null
    })
    const all = (await readAll(log)).map(({ body }) => body.charCodeAt(0))
    armed = true
    const outcome = await log.restart().then(
      () => 'done',
      () => 'failed',
    )
    armed = false
    expect(outcome).toBe(calls >= nth ? 'failed' : 'done')
    const left = (await readAll(log)).map(({ body }) => body.charCodeAt(0))
    expect(all.slice(all.length - left.length)).toEqual(left)
    expect(left.length > 0).toBe(outcome === 'failed')
    await log.append([[Buffer.alloc(3000, 7)], [Buffer.alloc(3000, 8)]])
    expect((await readAll(log)).map(({ body }) => body.charCodeAt(0))).toEqual([...left, 7, 8])
    await log.restart()
    expect(await readAll(log)).toEqual([])
  },
)

test.each(['process', 'host'] as const)(
  'a %s that dies anywhere in a restart leaves a last part of the old log, or the new one',
  async (what) => {
    for (let dieAt = 1; dieAt < 60; dieAt += 1) {
      const directory = new MemorySegmentDirectory()
      let steps = 0
      let isDying = false
      const step = (): Promise<void> => {
        if (isDying) steps += 1
        return steps < dieAt ? Promise.resolve() : new Promise(() => {})
      }
      const { log } = await openSegmentLogOn(directory.open(step), { limits, random })
      for (let body = 1; body <= 6; body += 1) await log.append([[Buffer.alloc(1900, body)]])
      await log.sync()
      isDying = true
      void log.restart()
      for (let turns = 0; turns < 400; turns += 1) await Promise.resolve()
      directory.crash({ loseUnflushed: what === 'process' ? false : seededRandom(dieAt) })
      const { log: reopened, recovery } = await openSegmentLogOn(directory.open(), {
        limits,
        random,
        scanFrom: 0,
      })
      expect(recovery.corruptAtLsn).toBe(null)
      const found = (await readAll(reopened)).map(({ body }) => body.charCodeAt(0))
      expect([1, 2, 3, 4, 5, 6].slice(6 - found.length)).toEqual(found)
      await reopened.append([[Buffer.alloc(100, 7)]])
      expect(await readAll(reopened)).toHaveLength(found.length + 1)
    }
  },
)

test('whoever follows the log finds its place gone, and reads on where it begins now', async () => {
  const { directory, log, published } = await openFilled()
  const follower = await openSegmentFollowerOn(directory.open(), published)
  const reader = follower.reader(await follower.firstLsn())
  for (let frame = 0; frame < 3; frame += 1) await reader.next()
  await log.restart()
  await log.append([[Buffer.alloc(100, 7)]])
  // The segment it is in stays readable; the one after it is gone.
  expect((await reader.next())?.body[0]).toBe(4)
  await expect(reader.next()).rejects.toMatchObject({ code: 'LOG_GONE' })
  reader.seek(await follower.firstLsn())
  expect((await reader.next())?.body[0]).toBe(7)
})

test.each([true, false])(
  'after a restart a host that dies loses nothing that was synced (synced: %s), and finds a torn end at most (W3)',
  async (isSynced) => {
    for (let seed = 0; seed < 200; seed += 1) {
      const { directory, log } = await openFilled()
      if (seed % 2 === 0) await log.sync()
      await log.restart()
      await log.append([[Buffer.alloc(1000, 7)]])
      if (isSynced) await log.sync()
      directory.crash({ loseUnflushed: seededRandom(seed) })
      const { log: reopened, recovery } = await openSegmentLogOn(directory.open(), {
        limits,
        random,
        scanFrom: 0,
      })
      const found = (await readAll(reopened)).map(({ body }) => body.charCodeAt(0))
      if (isSynced) expect(found).toEqual([7])
      // Until the next sync the old segments may come back; what of them was lost is then told.
      if (reopened.firstLsn === log.firstLsn) expect(recovery.corruptAtLsn).toBe(null)
      else expect(isSynced).toBe(false)
    }
  },
)
