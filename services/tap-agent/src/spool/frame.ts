/*
 * One frame of the spool: consecutive events of one generation, appended by one writev.
 *
 * Invariant F1: a frame explains itself. It carries its generation whole, its first sequence and the chain
 * before it, so that any segment can be read from its start, with nothing before it kept.
 * Invariant F2: it carries the lowest sequence still unfinished locally when it was built (S5), and how far
 * the full sync had been numbered through this frame (the sync cursor).
 *
 * Layout, little-endian: header (72 bytes), generation JSON, one 32-byte entry per event, JSON of the marks,
 * payload: the data of the write events one after another.
 */
import type { Generation, MarkEvent, StreamEvent } from '@blockferry/disk-stream'
import { fault } from '../error-catalogue.ts'

const magic = 0x31534642 // "BFS1"
const headerBytes = 72
const entryBytes = 32
const kindCodes = { write: 1, zero: 2, mark: 3 } as const

export interface FrameHeader {
  readonly generation: Generation
  readonly firstSequence: number
  /** Every sequence below it was finished locally when the frame was built (S5). */
  readonly lowestUnfinished: number
  /** Bytes from the disk's start that the full sync has numbered, this frame included; 0 outside one. */
  readonly syncCursorBytes: number
  /** True from the frame that holds `resyncDone` on, and always in a generation without a resync. */
  readonly syncDone: boolean
  /** Data bytes of all write events of the generation before this frame. */
  readonly rawBytesBefore: number
  /** Chain before the first event (S1). */
  readonly chainBefore: number
  readonly eventCount: number
  readonly payloadBytes: number
}

export interface SpoolFrame extends FrameHeader {
  readonly events: readonly StreamEvent[]
  /** A view into the frame's body. */
  readonly payload: Buffer
}

export interface FrameContent extends Omit<FrameHeader, 'eventCount' | 'payloadBytes' | 'generation'> {
  /** The generation as `encodeGeneration` made it, once per generation. */
  readonly generationBlob: Buffer
  readonly events: readonly StreamEvent[]
  /** Data of the write events, in order. */
  readonly data: readonly Buffer[]
}

export function encodeGeneration(generation: Generation): Buffer {
  return Buffer.from(JSON.stringify(generation))
}

/** The buffers of one frame body: one header buffer, then the data as it lies in the guest's requests. */
export function encodeFrame(content: FrameContent): readonly Buffer[] {
  const marks = content.events.filter((event) => event.kind !== 'write' && event.kind !== 'zero')
  const marksJson = marks.length === 0 ? null : Buffer.from(JSON.stringify(marks))
  const marksBytes = marksJson?.length ?? 0
  const entriesAt = headerBytes + content.generationBlob.length
  const marksAt = entriesAt + entryBytes * content.events.length
  const head = Buffer.allocUnsafe(marksAt + marksBytes)
  let payloadBytes = 0
  for (const piece of content.data) payloadBytes += piece.length
  writeHeader(head, content, { marksBytes, payloadBytes })
  content.generationBlob.copy(head, headerBytes)
  let at = entriesAt
  for (const event of content.events) {
    writeEntry(head, at, event)
    at += entryBytes
  }
  marksJson?.copy(head, marksAt)
  return [head, ...content.data]
}

function writeHeader(
  head: Buffer,
  content: FrameContent,
  sizes: { readonly marksBytes: number; readonly payloadBytes: number },
): void {
  head.writeUInt32LE(magic, 0)
  head.writeUInt32LE(content.syncDone ? 1 : 0, 4)
  head.writeDoubleLE(content.firstSequence, 8)
  head.writeDoubleLE(content.lowestUnfinished, 16)
  head.writeDoubleLE(content.syncCursorBytes, 24)
  head.writeDoubleLE(content.rawBytesBefore, 32)
  head.writeUInt32LE(content.chainBefore, 40)
  head.writeUInt32LE(content.events.length, 44)
  head.writeUInt32LE(content.generationBlob.length, 48)
  head.writeUInt32LE(sizes.marksBytes, 52)
  head.writeUInt32LE(sizes.payloadBytes, 56)
  head.fill(0, 60, headerBytes)
}

function writeEntry(head: Buffer, at: number, event: StreamEvent): void {
  const isWrite = event.kind === 'write'
  const isZero = event.kind === 'zero'
  const kind = isWrite ? kindCodes.write : isZero ? kindCodes.zero : kindCodes.mark
  head.writeUInt32LE(kind | (isZero && event.mayUnmap ? 0x100 : 0), at)
  head.writeUInt32LE(isWrite ? event.dataCrc : 0, at + 4)
  head.writeDoubleLE(isWrite || isZero ? event.byteOffset : 0, at + 8)
  head.writeUInt32LE(isWrite || isZero ? event.byteLength : 0, at + 16)
  head.writeUInt32LE(0, at + 20)
  head.writeDoubleLE(event.capturedAtMs, at + 24)
}

/** Reads frames of one spool; remembers the last generation, for neighbours nearly always share it. */
export interface FrameDecoder {
  /** The header alone. @throws SPOOL_FRAME_INVALID */
  header(body: Buffer): FrameHeader
  /** The whole frame; its payload is a view into `body`. @throws SPOOL_FRAME_INVALID */
  frame(body: Buffer): SpoolFrame
}

export function createFrameDecoder(): FrameDecoder {
  let blob = Buffer.alloc(0)
  let generation: Generation | null = null
  const generationOf = (bytes: Buffer): Generation => {
    if (generation !== null && blob.equals(bytes)) return generation
    generation = parseJson(bytes) as Generation
    blob = Buffer.from(bytes)
    return generation
  }
  return {
    header: (body) => readHeader(body, generationOf).header,
    frame: (body) => readFrame(body, generationOf),
  }
}

function readHeader(body: Buffer, generationOf: (bytes: Buffer) => Generation) {
  if (body.length < headerBytes || body.readUInt32LE(0) !== magic) throw invalid('no frame header')
  const eventCount = body.readUInt32LE(44)
  const generationBytes = body.readUInt32LE(48)
  const marksBytes = body.readUInt32LE(52)
  const payloadBytes = body.readUInt32LE(56)
  const total = headerBytes + generationBytes + entryBytes * eventCount + marksBytes + payloadBytes
  if (total !== body.length) throw invalid(`its parts are ${total} bytes, the frame is ${body.length}`)
  const header: FrameHeader = {
    generation: generationOf(body.subarray(headerBytes, headerBytes + generationBytes)),
    firstSequence: body.readDoubleLE(8),
    lowestUnfinished: body.readDoubleLE(16),
    syncCursorBytes: body.readDoubleLE(24),
    syncDone: (body.readUInt32LE(4) & 1) === 1,
    rawBytesBefore: body.readDoubleLE(32),
    chainBefore: body.readUInt32LE(40),
    eventCount,
    payloadBytes,
  }
  return { header, entriesAt: headerBytes + generationBytes, marksBytes }
}

function readFrame(body: Buffer, generationOf: (bytes: Buffer) => Generation): SpoolFrame {
  const { header, entriesAt, marksBytes } = readHeader(body, generationOf)
  const marksAt = entriesAt + entryBytes * header.eventCount
  const payload = body.subarray(marksAt + marksBytes)
  const marks =
    marksBytes === 0 ? [] : (parseJson(body.subarray(marksAt, marksAt + marksBytes)) as MarkEvent[])
  const events: StreamEvent[] = []
  let marksTaken = 0
  for (let at = entriesAt; at < marksAt; at += entryBytes) {
    const mark = (body.readUInt32LE(at) & 0xff) === kindCodes.mark ? marks[marksTaken++] : undefined
    events.push(mark ?? readEntry(body, at))
  }
  return { ...header, events, payload }
}

function readEntry(body: Buffer, at: number): StreamEvent {
  const tag = body.readUInt32LE(at)
  const extent = { byteOffset: body.readDoubleLE(at + 8), byteLength: body.readUInt32LE(at + 16) }
  const capturedAtMs = body.readDoubleLE(at + 24)
  switch (tag & 0xff) {
    case kindCodes.write:
      return { kind: 'write', ...extent, dataCrc: body.readUInt32LE(at + 4), capturedAtMs }
    case kindCodes.zero:
      return { kind: 'zero', ...extent, mayUnmap: (tag & 0x100) !== 0, capturedAtMs }
    default:
      throw invalid(`unknown event kind ${tag & 0xff}`)
  }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString())
  } catch (cause) {
    throw invalid('its JSON part cannot be read', cause)
  }
}

function invalid(why: string, cause?: unknown) {
  return fault('SPOOL_FRAME_INVALID', `spool frame: ${why}`, { cause })
}
