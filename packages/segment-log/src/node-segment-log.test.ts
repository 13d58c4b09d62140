import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { MiB } from '@blockferry/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { frameBodyBytesMax } from './frame.ts'
import { openSegmentLog } from './open-segment-log.ts'
import { publishedLengthBytes, sharedPublishedLength } from './published-length.ts'
import { seededRandom } from './testing/seeded-random.ts'

const random = seededRandom(1)
let root: string

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'blockferry-segment-log-'))
})

afterAll(() => rm(root, { recursive: true }))

test('a reader in another thread sees every frame once, in order, while the writer goes on (P1, W1)', async () => {
  const directory = join(root, 'followed')
  const memory = new SharedArrayBuffer(publishedLengthBytes)
  const limits = { segmentBytes: 1 * MiB, bytesMax: 64 * MiB }
  const { log } = await openSegmentLog({
    directory,
    limits,
    random,
    published: sharedPublishedLength(memory),
  })
  const lastNumber = 4999
  const task = { directory, memory, lastNumber }
  const worker = new Worker(new URL('testing/follower-worker.ts', import.meta.url), { workerData: task })
  const report = once(worker, 'message')
  const failure = once(worker, 'exit').then(([code]) =>
    Promise.reject(new Error(`the reader ended: ${code}`)),
  )
  for (let number = 0; number <= lastNumber;) {
    const bodies: Buffer[][] = []
    for (const stop = number + 1 + (number % 7); number < stop && number <= lastNumber; number += 1) {
      bodies.push([numbered(number)])
    }
    await log.append(bodies)
  }
  const [message] = await Promise.race([report, failure])
  expect(message).toEqual({ frames: lastNumber + 1, isDurable: true })
  await worker.terminate()
  await log.close()
})

function numbered(number: number): Buffer {
  const body = Buffer.alloc(4 + ((number * 131) % 5000), number % 251)
  body.writeUInt32LE(number, 0)
  return body
}

test.each(['pool', 'adaptive'] as const)(
  'on a file system (%s writes) all of it is there after reopening',
  async (writes) => {
    const directory = join(root, writes)
    const options = { directory, writes, random, limits: { segmentBytes: 16 * MiB, bytesMax: 64 * MiB } }
    const { log } = await openSegmentLog(options)
    // Longer than the read-ahead, and more buffers than one pwritev takes.
    const longest = Buffer.alloc(frameBodyBytesMax, 7)
    const pieces = Array.from({ length: 3000 }, (_, index) => Buffer.alloc(3, index % 250))
    await log.append([[longest], pieces])
    await log.append([[longest]])
    await log.sync()
    const { appendedThrough } = log
    await log.close()
    const { log: again, recovery } = await openSegmentLog(options)
    expect(recovery).toEqual({ tornBytes: 0, corruptAtLsn: null })
    expect(again.appendedThrough).toBe(appendedThrough)
    await using reader = again.reader(again.firstLsn)
    expect((await reader.next())?.body.equals(longest)).toBe(true)
    expect((await reader.next())?.body.equals(Buffer.concat(pieces))).toBe(true)
    expect((await reader.next())?.body.equals(longest)).toBe(true)
    expect(await reader.next()).toBe(null)
    await again.close()
  },
)

test('segments are reserved whole, and given back when deleted', async () => {
  const directory = join(root, 'reserved')
  const limits = { segmentBytes: 1 * MiB, bytesMax: 8 * MiB }
  const { log } = await openSegmentLog({ directory, limits, random })
  const body = [Buffer.alloc(600_000)]
  await log.append([body])
  await log.append([body])
  const names = (await readdir(directory)).toSorted()
  expect(names).toEqual(['0000000000000000.segment', '0000000001048576.segment'])
  for (const name of names) {
    const { blocks, size } = await stat(join(directory, name))
    expect(size).toBe(1 * MiB)
    expect(blocks * 512).toBeGreaterThanOrEqual(1 * MiB)
  }
  await log.deleteBefore(log.appendedThrough)
  expect(await readdir(directory)).toEqual(['0000000001048576.segment'])
  await log.close()
})
