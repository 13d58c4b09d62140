import { writeSync } from 'node:fs'
import { MiB } from '@blockferry/runtime'
import { openSegmentLog } from '../open-segment-log.ts'
import { seededRandom } from './seeded-random.ts'

/*
 * A process to be killed in mid-append: appends three frames at a time, each holding its number, and
 * writes the number of the last one acknowledged to standard output, synchronously.
 */

const directory = process.argv[2]!
const limits = { segmentBytes: 1 * MiB, bytesMax: 2000 * MiB }
const { log } = await openSegmentLog({ directory, limits, random: seededRandom(process.pid) })
for (let number = 1; ; number += 3) {
  await log.append([number, number + 1, number + 2].map((each) => [numbered(each)]))
  writeSync(1, `${number + 2}\n`)
}

function numbered(number: number): Buffer {
  const body = Buffer.alloc(8 + ((number * 7919) % 90_000), number % 251)
  body.writeUInt32LE(number, 0)
  return body
}
