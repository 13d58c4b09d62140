import { crc32 } from 'node:zlib'
import { isMark, messageBytesMax, writeGroupBytesMax } from '@blockferry/disk-stream'
import type { StreamEvent, WriteGroup } from '@blockferry/disk-stream'
import { assert } from '@blockferry/runtime'
import type { AvroReader } from './avro-reader.ts'
import { AvroWriter } from './avro-writer.ts'
import { fault } from './error-catalogue.ts'
import { problemOfCut, readEvent, writeEvent } from './event-codec.ts'
import { readGeneration, writeGeneration } from './generation-codec.ts'
import { safeMax, writeGroupEventsMax } from './limits.ts'
import { schemas, startMessage } from './single-object.ts'

const eventBytesTypical = 32

export interface EncodeWriteGroupOptions {
  /** Where to write the message, if it is large enough: a shipper sends so much that fresh buffers keep the collector busy. */
  readonly into?: Buffer
  /** True when the caller has just computed `payloadCrc` from these very bytes: a second pass would prove nothing. */
  readonly payloadCrcIsFresh?: boolean
}

/**
 * A WriteGroup as a message; a view of `into` where that was used. Asserts every limit and the payload CRC:
 * what we damage ourselves must not leave (pair of the check in decodeRecord).
 */
export function encodeWriteGroup(group: WriteGroup, options: EncodeWriteGroupOptions = {}): Buffer {
  const { into } = options
  if (options.payloadCrcIsFresh !== true) checkPayload(group.payloadCrc, group.payload)
  const payloadBytes = group.payload.length
  const problem = problemOf(group, payloadBytes)
  assert(problem === null, `write group of ${group.diskId}: ${problem}`)
  const to = new AvroWriter(2048 + eventBytesTypical * group.events.length + payloadBytes, into)
  startMessage(to, schemas.WriteGroup)
  to.id('disk id', group.diskId)
  writeGeneration(to, group.generation)
  to.boolean(group.resend)
  to.uint('first sequence', group.firstSequence)
  to.uint32('chain before', group.chainBefore)
  to.uint32('chain after', group.chainAfter)
  const baseTimeMs = group.events[0]?.capturedAtMs ?? 0
  to.uint('base time', baseTimeMs)
  to.array(group.events, { what: 'events', countMax: writeGroupEventsMax }, (event) =>
    writeEvent(to, event, baseTimeMs),
  )
  to.uint32('payload CRC', group.payloadCrc)
  to.bytes('payload', group.payload, writeGroupBytesMax)
  const message = to.finish()
  assert(message.length <= messageBytesMax, `message of ${message.length} bytes`)
  return message
}

/** The body of a WriteGroup; the payload is a view, its CRC not yet checked. */
export function readWriteGroup(from: AvroReader): WriteGroup {
  const diskId = from.id('disk id')
  const generation = readGeneration(from)
  const resend = from.boolean('resend')
  const firstSequence = from.uint('first sequence')
  const chainBefore = from.uint32('chain before')
  const chainAfter = from.uint32('chain after')
  const baseTimeMs = from.uint('base time')
  const events = from.array('events', writeGroupEventsMax, () => readEvent(from, baseTimeMs))
  const payloadCrc = from.uint32('payload CRC')
  const payload = from.bytes('payload', writeGroupBytesMax)
  const group: WriteGroup = {
    diskId,
    generation,
    resend,
    firstSequence,
    chainBefore,
    chainAfter,
    events,
    payloadCrc,
    payload,
  }
  const problem = problemOf(group, payload.length)
  if (problem !== null) throw fault('INVALID_RECORD', `write group of ${diskId}: ${problem}`)
  return group
}

/** Asserts that the CRC is the payload's. */
export function checkPayload(payloadCrc: number, payload: Buffer): void {
  const crc = crc32(payload)
  assert(crc === payloadCrc, `payload CRC is ${payloadCrc}, the payload's is ${crc}`)
}

/** What no writer of ours produces; null when all is well. */
function problemOf(group: WriteGroup, payloadBytes: number): string | null {
  const { events, firstSequence } = group
  if (events.length === 0) return 'no events'
  if (firstSequence < 1 || firstSequence + events.length - 1 > safeMax)
    return `first sequence ${firstSequence}`
  if (events.findIndex(isMark) !== -1 && events.findIndex(isMark) !== events.length - 1) {
    return 'a mark is not the last event'
  }
  const dataBytes = dataBytesOf(events)
  if (dataBytes !== payloadBytes) return `payload of ${payloadBytes} bytes for writes of ${dataBytes}`
  return problemOfCut(group.diskId, events.at(-1))
}

function dataBytesOf(events: readonly StreamEvent[]): number {
  let dataBytes = 0
  for (const event of events) if (event.kind === 'write') dataBytes += event.byteLength
  return dataBytes
}
