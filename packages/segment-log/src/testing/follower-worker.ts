import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '@blockferry/runtime'
import { sharedPublishedLength } from '../published-length.ts'
import { openSegmentFollower } from '../segment-follower.ts'

/*
 * The reader's side of the two-thread test: reads bodies that hold their own number and reports how
 * many it has seen when the number named as the last comes by.
 */

interface FollowerTask {
  readonly directory: string
  readonly memory: SharedArrayBuffer
  readonly lastNumber: number
}

const { directory, memory, lastNumber } = workerData as FollowerTask
const published = sharedPublishedLength(memory)
const cell = new BigInt64Array(memory)
const follower = await openSegmentFollower({ directory, published })
const firstLsn = await follower.firstLsn()
const reader = follower.reader(firstLsn)
let next = 0
while (next <= lastNumber) {
  const seen = published.load()
  const frame = await reader.next()
  if (frame === null) {
    // Sleeps only while nothing new was published since before the read. Not waitAsync: it does not keep
    // a thread alive, and this one has nothing else to stay for.
    Atomics.wait(cell, 0, BigInt(seen))
    continue
  }
  assert(frame.body.readUInt32LE(0) === next, 'frames come in order, none missing, none twice')
  assert(
    frame.body.subarray(4).every((byte) => byte === next % 251),
    'a frame is as it was appended',
  )
  next += 1
}
const durable = await follower.syncFrom(firstLsn)
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's port, not a window's
parentPort!.postMessage({ frames: next, isDurable: durable === published.load() })
await reader.close()
