import { messageBytesMax, updateSetBytesMax, writeBytesMax } from '@blockferry/disk-stream'
import type { PayloadCodec, SetExtent, UpdateSet } from '@blockferry/disk-stream'
import { assert } from '@blockferry/runtime'
import type { AvroReader } from './avro-reader.ts'
import { AvroWriter } from './avro-writer.ts'
import { fault } from './error-catalogue.ts'
import { problemOfCut, readLength, readMark, writeMark } from './event-codec.ts'
import { readGeneration, writeGeneration } from './generation-codec.ts'
import { safeMax, updateSetExtentsMax, updateSetJointsMax } from './limits.ts'
import { schemas, startMessage } from './single-object.ts'
import { checkPayload } from './write-group-codec.ts'

/** Most data of one set, unpacked: a window closes before it passes its limit, a lone event may touch it. */
export const setDataBytesMax = updateSetBytesMax + writeBytesMax

/** In the order of the schema's symbols. */
const codecs = ['none', 'zstd'] as const satisfies readonly PayloadCodec[]
const contents = ['data', 'zero', 'zero-may-unmap'] as const

const headerBytesTypical = 2048
const extentBytesTypical = 12
const jointBytesTypical = 9

/** An UpdateSet as a message. Asserts every limit and the payload CRC (pair of the check in decodeRecord). */
export function encodeUpdateSet(set: UpdateSet): Buffer {
  checkPayload(set.payloadCrc, set.payload)
  const problem = problemOf(set)
  assert(problem === null, `update set of ${set.diskId}: ${problem}`)
  const to = new AvroWriter(
    headerBytesTypical +
      extentBytesTypical * set.extents.length +
      jointBytesTypical * set.joints.length +
      set.payload.length,
  )
  startMessage(to, schemas.UpdateSet)
  writeHeader(to, set)
  to.uint32('payload CRC', set.payloadCrc)
  to.bytes('payload', set.payload, setDataBytesMax)
  const message = to.finish()
  assert(message.length <= messageBytesMax, `message of ${message.length} bytes`)
  return message
}

function writeHeader(to: AvroWriter, set: UpdateSet): void {
  to.id('disk id', set.diskId)
  writeGeneration(to, set.generation)
  to.uint('first sequence', set.firstSequence)
  to.uint('last sequence', set.lastSequence)
  to.uint32('chain before', set.chainBefore)
  to.uint32('chain after', set.chainAfter)
  to.array(set.joints, { what: 'joints', countMax: updateSetJointsMax }, (joint) => {
    to.uint('joint sequence', joint.sequence)
    to.uint32('joint chain', joint.chain)
  })
  to.uint('base time', set.firstCapturedAtMs)
  to.int('last captured time', set.lastCapturedAtMs - set.firstCapturedAtMs)
  to.uint('raw bytes', set.rawBytes)
  to.offset('resume input offset', set.resumeInputOffset)
  writeMark(to, set.mark, set.firstCapturedAtMs)
  to.array(set.extents, { what: 'extents', countMax: updateSetExtentsMax }, (extent) => {
    to.uint('byte offset', extent.byteOffset)
    to.uint('byte length', extent.byteLength)
    to.choice('content', contents, contentOf(extent))
  })
  to.choice('codec', codecs, set.codec)
}

/** The body of an UpdateSet; the payload is a view, its CRC not yet checked. */
export function readUpdateSet(from: AvroReader): UpdateSet {
  const diskId = from.id('disk id')
  const generation = readGeneration(from)
  const firstSequence = from.uint('first sequence')
  const lastSequence = from.uint('last sequence')
  const chainBefore = from.uint32('chain before')
  const chainAfter = from.uint32('chain after')
  const joints = from.array('joints', updateSetJointsMax, () => ({
    sequence: from.uint('joint sequence'),
    chain: from.uint32('joint chain'),
  }))
  const firstCapturedAtMs = from.uint('base time')
  const set: UpdateSet = {
    diskId,
    generation,
    firstSequence,
    lastSequence,
    chainBefore,
    chainAfter,
    joints,
    firstCapturedAtMs,
    lastCapturedAtMs: firstCapturedAtMs + from.int('last captured time'),
    rawBytes: from.uint('raw bytes'),
    resumeInputOffset: from.offset('resume input offset'),
    mark: readMark(from, firstCapturedAtMs),
    extents: from.array('extents', updateSetExtentsMax, () => readSetExtent(from)),
    codec: from.choice('codec', codecs),
    payloadCrc: from.uint32('payload CRC'),
    payload: from.bytes('payload', setDataBytesMax),
  }
  if (dataBytesOf(set.extents) > setDataBytesMax) {
    throw fault(
      'RECORD_TOO_LONG',
      `update set of ${diskId}: its data is longer than ${setDataBytesMax} bytes`,
    )
  }
  const problem = problemOf(set)
  if (problem !== null) throw fault('INVALID_RECORD', `update set of ${diskId}: ${problem}`)
  return set
}

function contentOf(extent: SetExtent): (typeof contents)[number] {
  if (extent.kind === 'data') return 'data'
  return extent.mayUnmap ? 'zero-may-unmap' : 'zero'
}

function readSetExtent(from: AvroReader): SetExtent {
  const byteOffset = from.uint('byte offset')
  const byteLength = readLength(from, byteOffset, safeMax)
  const content = from.choice('content', contents)
  if (content === 'data') return { kind: 'data', byteOffset, byteLength }
  return { kind: 'zero', byteOffset, byteLength, mayUnmap: content === 'zero-may-unmap' }
}

/** Bytes of a set's data extents: the length of its payload once unpacked. */
export function dataBytesOf(extents: readonly SetExtent[]): number {
  let dataBytes = 0
  for (const extent of extents) if (extent.kind === 'data') dataBytes += extent.byteLength
  return dataBytes
}

/** What no aggregator of ours produces; null when all is well. */
function problemOf(set: UpdateSet): string | null {
  if (set.firstSequence < 1 || set.lastSequence < set.firstSequence) {
    return `sequences ${set.firstSequence} to ${set.lastSequence}`
  }
  if (set.lastCapturedAtMs < 0 || set.lastCapturedAtMs > safeMax) return 'captured time out of range'
  const dataBytes = dataBytesOf(set.extents)
  if (dataBytes > setDataBytesMax) return `data of ${dataBytes} bytes`
  if (set.codec === 'none' && set.payload.length !== dataBytes) {
    return `payload of ${set.payload.length} bytes for extents of ${dataBytes}`
  }
  if (set.payload.length > dataBytes) return 'the packed payload is longer than its data'
  return problemOfJoints(set) ?? problemOfExtents(set.extents) ?? problemOfCut(set.diskId, set.mark)
}

function problemOfJoints(set: UpdateSet): string | null {
  let before = set.firstSequence - 1
  for (const joint of set.joints) {
    if (joint.sequence <= before) return `joints do not ascend at ${joint.sequence}`
    before = joint.sequence
  }
  const last = set.joints.at(-1)
  const endsAtLast = last?.sequence === set.lastSequence && last.chain === set.chainAfter
  return endsAtLast ? null : 'the last joint is not the end of the set'
}

function problemOfExtents(extents: readonly SetExtent[]): string | null {
  let end = 0
  for (const extent of extents) {
    if (extent.byteOffset < end) return `extents overlap or do not ascend at ${extent.byteOffset}`
    end = extent.byteOffset + extent.byteLength
    if (end > safeMax || extent.byteLength < 1) return `extent ${extent.byteOffset}+${extent.byteLength}`
  }
  return null
}
