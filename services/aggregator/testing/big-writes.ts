import { KiB } from '@blockferry/runtime'
import type { WriteGroup } from '@blockferry/disk-stream'
import { StreamModel } from '@blockferry/disk-stream/testing'
import { generationOf } from './rig.ts'

const writeBytes = 64 * KiB

/** A model disk of 16 MiB, for tests of sizes. */
export function bigDisk(diskId: string): StreamModel {
  const disk = new StreamModel({ diskId, bytes: Buffer.alloc(16 * 1024 * KiB) })
  disk.begin(generationOf(1))
  return disk
}

/** A write of 64 KiB that does not shrink, at the next place. */
export function bigWrite(disk: StreamModel, place: number): WriteGroup {
  const data = Buffer.alloc(writeBytes)
  let state = place + 1
  for (let at = 0; at < writeBytes; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    data.writeUInt32LE(Math.imul(state, 2_654_435_761) >>> 0, at)
  }
  const { sequence } = disk.write(place * writeBytes, data)
  return disk.group(1, { first: sequence, last: sequence })
}
