import { KiB } from '@blockferry/runtime'
import { expect, test } from 'vitest'
import { MemorySegmentDirectory } from './memory-segment-files.ts'
import { openMemorySegmentLog } from './memory-segment-log.ts'
import { localPublishedLength } from './published-length.ts'
import { openSegmentFollowerOn } from './segment-follower.ts'
import type { SegmentFiles } from './segment-files.ts'
import { seededRandom } from './testing/seeded-random.ts'

const segmentBytes = 8 * KiB

test('opens a log whose first segment is deleted between the look at the directory and the look into it', async () => {
  const directory = new MemorySegmentDirectory()
  const published = localPublishedLength()
  const limits = { segmentBytes, bytesMax: 16 * segmentBytes }
  const { log } = await openMemorySegmentLog({ directory, limits, random: seededRandom(1), published })
  for (let frame = 0; frame < 8; frame += 1) await log.append([[Buffer.alloc(5 * KiB, frame)]])
  const files = directory.open()
  let deletions = 2
  const raced: SegmentFiles = {
    ...files,
    open: async (name, options) => {
      if (deletions > 0) await log.deleteBefore(log.segmentStarts()[1] ?? 0)
      deletions -= 1
      return files.open(name, options)
    },
  }
  const follower = await openSegmentFollowerOn(raced, published)
  const reader = follower.reader(await follower.firstLsn())
  expect((await reader.next())?.body[0]).toBe(2)
})
