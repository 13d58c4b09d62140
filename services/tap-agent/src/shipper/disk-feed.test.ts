import { Fault } from '@blockferry/runtime'
import { expect, test } from 'vitest'
import { DiskFeed } from './disk-feed.ts'

test('a feed that is closed while it reads closes its reader after the read, and reads nothing more (G4)', async () => {
  const calls: string[] = []
  const read = Promise.withResolvers<null>()
  const reading = Promise.withResolvers<void>()
  const reader = {
    lsn: 64,
    next: () => {
      calls.push('next')
      reading.resolve()
      return read.promise
    },
    seek: () => {},
    close: async () => void calls.push('close'),
    [Symbol.asyncDispose]: async () => {},
  }
  const spool = {
    firstLsn: async () => 64,
    publishedLsn: () => 128,
    reader: () => reader,
    segmentBytes: 1024,
  }
  const feed = new DiskFeed({ diskId: 'vda', spool, scratch: Buffer.alloc(0), hint: null, firstLsn: 64 })
  const group = feed.nextGroup(Buffer.alloc(0))
  await reading.promise
  const closed = feed.close()
  await new Promise((resolve) => setImmediate(resolve))
  expect(calls).toEqual(['next'])
  read.resolve(null)
  await closed
  expect(await group).toBe(null)
  expect(await feed.nextGroup(Buffer.alloc(0))).toBe(null)
  expect(calls).toEqual(['next', 'close'])
})

test('a feed whose place went with a deleted segment reads on in the first one kept', async () => {
  let firstLsn = 64
  const opened: number[] = []
  const reader = (lsn: number) => {
    opened.push(lsn)
    return {
      lsn,
      next: async () => {
        if (lsn >= 1088) return null
        firstLsn = 1088
        throw new Fault('LOG_GONE', 'the segment was deleted')
      },
      seek: () => {},
      close: async () => {},
      [Symbol.asyncDispose]: async () => {},
    }
  }
  const spool = { firstLsn: async () => firstLsn, publishedLsn: () => 2048, reader, segmentBytes: 1024 }
  const feed = new DiskFeed({ diskId: 'vda', spool, scratch: Buffer.alloc(0), hint: null, firstLsn: 1000 })
  expect(await feed.nextGroup(Buffer.alloc(0))).toBe(null)
  expect(opened).toEqual([1000, 1088])
})
