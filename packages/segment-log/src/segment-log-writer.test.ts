import { expect, test } from 'vitest'
import { faultySegmentFiles } from './faulty-segment-files.ts'
import type { SegmentFaultPlan } from './faulty-segment-files.ts'
import { MemorySegmentDirectory } from './memory-segment-files.ts'
import { openSegmentLogOn } from './open-segment-log.ts'
import { localPublishedLength } from './published-length.ts'
import { openSegmentFollowerOn } from './segment-follower.ts'
import { readAll } from './testing/append-history.ts'
import { seededRandom } from './testing/seeded-random.ts'

const limits = { segmentBytes: 4096, bytesMax: 3 * 4096 }
const random = seededRandom(1)

async function openFaulty(plan: SegmentFaultPlan) {
  const directory = new MemorySegmentDirectory()
  const { log } = await openSegmentLogOn(faultySegmentFiles(directory.open(), plan), { limits, random })
  return { directory, log }
}

test('at its limit an append is refused whole, and passes once segments are deleted', async () => {
  const { log } = await openFaulty(() => null)
  const big = [Buffer.alloc(3000)]
  await log.append([big, big])
  await expect(log.append([[Buffer.alloc(8)], big, big])).rejects.toMatchObject({ code: 'LOG_FULL' })
  expect(await readAll(log)).toHaveLength(2)
  expect(log.allocatedBytes).toBe(2 * 4096)
  await log.deleteBefore(log.appendedThrough)
  await log.append([[Buffer.alloc(8)], big, big])
  expect(log.allocatedBytes).toBe(3 * 4096)
  expect(await readAll(log)).toHaveLength(4)
})

test('a failed append leaves nothing for recovery to find, whatever of it had landed (W2)', async () => {
  for (const landedBytes of [0, 10, 200, 1e9]) {
    let isBad = false
    const plan: SegmentFaultPlan = (operation) =>
      isBad && operation === 'write' ? { code: 'ENOSPC', landedBytes } : null
    const { directory, log } = await openFaulty(plan)
    await log.append([[Buffer.alloc(100, 1)]])
    isBad = true
    await expect(log.append([[Buffer.alloc(100, 2)], [Buffer.alloc(50, 3)]])).rejects.toMatchObject({
      code: 'LOG_NO_SPACE',
    })
    const { log: reopened, recovery } = await openSegmentLogOn(directory.open(), { limits, random })
    expect(recovery).toEqual({ tornBytes: 0, corruptAtLsn: null })
    expect(await readAll(reopened)).toHaveLength(1)
  }
})

test('an append whose cut failed is cut before the next one writes (W2)', async () => {
  const failures: string[] = ['write', 'zero', 'zero']
  let isArmed = false
  const { log } = await openFaulty((operation) => {
    if (!isArmed || failures[0] !== operation) return null
    failures.shift()
    return { code: 'EIO', landedBytes: 1e9 }
  })
  isArmed = true
  const details = { cutFailed: 'EIO' }
  await expect(log.append([[Buffer.alloc(100, 1)]])).rejects.toMatchObject({ code: 'LOG_IO', details })
  await expect(log.append([[Buffer.alloc(8, 2)]])).rejects.toMatchObject({ code: 'LOG_IO', details })
  await log.append([[Buffer.alloc(8, 3)]])
  expect((await readAll(log)).map((frame) => frame.body)).toEqual(['\u0003'.repeat(8)])
})

test('callers that ask for a sync while one flies share the next (group commit)', async () => {
  let syncs = 0
  const { log } = await openFaulty((operation) => {
    if (operation === 'sync') syncs += 1
    return null
  })
  await log.append([[Buffer.alloc(8)]])
  await log.sync()
  syncs = 0
  await log.append([[Buffer.alloc(8)]])
  const end = log.appendedThrough
  const flying = log.sync()
  await Promise.all([flying, ...Array.from({ length: 50 }, () => log.sync())])
  expect(syncs).toBeLessThanOrEqual(2)
  expect(log.durableThrough).toBe(end)
})

test('a sync covers what was appended before it was asked for, however it interleaves with others (W3)', async () => {
  for (let seed = 0; seed < 300; seed += 1) {
    const draws = seededRandom(seed)
    const directory = new MemorySegmentDirectory()
    const step = async (): Promise<void> => {
      for (let turns = draws.uint32() % 5; turns > 0; turns -= 1) await Promise.resolve()
    }
    const { log } = await openSegmentLogOn(directory.open(step), { limits, random })
    let promised = 0
    const sync = async (): Promise<void> => {
      const asked = log.appendedThrough
      await log.sync()
      promised = Math.max(promised, asked, log.durableThrough)
    }
    const syncs: Promise<void>[] = []
    for (let append = 0; append < 4; append += 1) {
      await log.append([[Buffer.alloc(1500, append)]])
      syncs.push(sync())
      if (draws.uint32() % 2 === 0) await syncs.at(draws.uint32() % syncs.length)
    }
    await Promise.all(syncs)
    expect(promised).toBe(log.appendedThrough)
    // Everything that is not durable is lost: 1 is a draw that keeps no sector, and no name.
    directory.crash({ loseUnflushed: { uint32: () => 1, hex: () => '' } })
    const { log: reopened } = await openSegmentLogOn(directory.open(), { limits, random, scanFrom: 0 })
    expect(reopened.appendedThrough).toBe(promised)
  }
})

test('after a failed sync no later one claims anything (W3)', async () => {
  let isBad = false
  const { log } = await openFaulty((operation) => (isBad && operation === 'sync' ? { code: 'EIO' } : null))
  await log.append([[Buffer.alloc(8)]])
  await log.sync()
  const durable = log.durableThrough
  await log.append([[Buffer.alloc(8)]])
  isBad = true
  await expect(log.sync()).rejects.toMatchObject({ code: 'LOG_SYNC_FAILED' })
  isBad = false
  await expect(log.sync()).rejects.toMatchObject({ code: 'LOG_SYNC_FAILED' })
  expect(log.durableThrough).toBe(durable)
})

test('a second append while one is outstanding is a bug', async () => {
  const { log } = await openFaulty(() => null)
  const first = log.append([[Buffer.alloc(8)]])
  await expect(log.append([[Buffer.alloc(8)]])).rejects.toThrow('one append at a time')
  await first
})

test('a reader never passes what is published, though the bytes are there (P1)', async () => {
  const directory = new MemorySegmentDirectory()
  const { log } = await openSegmentLogOn(directory.open(), { limits, random })
  await log.append([[Buffer.alloc(8, 1)]])
  const published = localPublishedLength()
  published.store(log.appendedThrough)
  await log.append([[Buffer.alloc(8, 2)]])
  const follower = await openSegmentFollowerOn(directory.open(), published)
  const reader = follower.reader(await follower.firstLsn())
  expect((await reader.next())?.body[0]).toBe(1)
  expect(await reader.next()).toBe(null)
  published.store(log.appendedThrough)
  expect((await reader.next())?.body[0]).toBe(2)
})

test('a reader keeps the segment it is in when that is deleted, and finds the next one gone', async () => {
  const directory = new MemorySegmentDirectory()
  const { log } = await openSegmentLogOn(directory.open(), { limits, random })
  for (let index = 0; index < 3; index += 1)
    await log.append([[Buffer.alloc(2000, index)], [Buffer.alloc(1900, index)]])
  const reader = log.reader(log.firstLsn)
  const first = log.firstLsn
  await reader.next()
  await log.deleteBefore(log.appendedThrough)
  expect((await reader.next())?.body[0]).toBe(0)
  await expect(reader.next()).rejects.toMatchObject({ code: 'LOG_GONE' })
  reader.seek(log.firstLsn)
  expect((await reader.next())?.body[0]).toBe(2)
  reader.seek(first)
  await expect(reader.next()).rejects.toMatchObject({ code: 'LOG_GONE' })
})

test('a frame damaged under a reader is LOG_CORRUPT, not data (F1)', async () => {
  const directory = new MemorySegmentDirectory()
  const { log } = await openSegmentLogOn(directory.open(), { limits, random })
  const [lsn] = await log.append([[Buffer.alloc(100, 1)]])
  directory.mediumOf('0000000000000000.segment').flipBit(lsn! + 60, 2)
  await expect(log.reader(lsn!).next()).rejects.toMatchObject({ code: 'LOG_CORRUPT', details: { lsn } })
})
