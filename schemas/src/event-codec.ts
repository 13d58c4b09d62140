import { digestExtentsMax, writeBytesMax, zeroBytesMax } from '@blockferry/disk-stream'
import type { DigestEvent, Extent, MarkEvent, RecoveryPointEvent, StreamEvent } from '@blockferry/disk-stream'
import { assert, unreachable } from '@blockferry/runtime'
import type { AvroReader } from './avro-reader.ts'
import type { AvroWriter } from './avro-writer.ts'
import { fault } from './error-catalogue.ts'
import { groupMembersMax, safeMax } from './limits.ts'

/** Branches of the union `events` of WriteGroup, in the schema's order. */
const eventKinds = ['write', 'zero', 'recoveryPoint', 'resyncDone', 'digest', 'geometry'] as const
/** Branches of the union `mark` of UpdateSet after null. */
const markKinds = ['recoveryPoint', 'resyncDone', 'digest', 'geometry'] as const

/** Times cross as whole milliseconds after the record's base time. */
function writeTime(to: AvroWriter, event: StreamEvent, baseTimeMs: number): void {
  to.int('captured time', event.capturedAtMs - baseTimeMs)
}

function readTime(from: AvroReader, baseTimeMs: number): number {
  const capturedAtMs = baseTimeMs + from.int('captured time')
  if (capturedAtMs < 0 || capturedAtMs > safeMax)
    throw fault('INVALID_RECORD', 'captured time is out of range')
  return capturedAtMs
}

export function writeEvent(to: AvroWriter, event: StreamEvent, baseTimeMs: number): void {
  to.choice('event', eventKinds, event.kind)
  if (event.kind === 'write') {
    writeTime(to, event, baseTimeMs)
    writeExtent(to, event, writeBytesMax)
    to.uint32('data CRC', event.dataCrc)
  } else if (event.kind === 'zero') {
    writeTime(to, event, baseTimeMs)
    writeExtent(to, event, zeroBytesMax)
    to.boolean(event.mayUnmap)
  } else {
    writeMarkBody(to, event, baseTimeMs)
  }
}

export function readEvent(from: AvroReader, baseTimeMs: number): StreamEvent {
  const kind = from.choice('event', eventKinds)
  if (kind !== 'write' && kind !== 'zero') return readMarkBody(from, kind, baseTimeMs)
  const capturedAtMs = readTime(from, baseTimeMs)
  const byteOffset = from.uint('byte offset')
  if (kind === 'write') {
    const byteLength = readLength(from, byteOffset, writeBytesMax)
    return { kind, capturedAtMs, byteOffset, byteLength, dataCrc: from.uint32('data CRC') }
  }
  const byteLength = readLength(from, byteOffset, zeroBytesMax)
  return { kind, capturedAtMs, byteOffset, byteLength, mayUnmap: from.boolean('may unmap') }
}

export function writeMark(to: AvroWriter, mark: MarkEvent | null, baseTimeMs: number): void {
  if (mark === null) {
    to.uint('mark', 0)
    return
  }
  to.uint('mark', 1 + markKinds.indexOf(mark.kind))
  writeMarkBody(to, mark, baseTimeMs)
}

export function readMark(from: AvroReader, baseTimeMs: number): MarkEvent | null {
  const kind = from.choice('mark', [null, ...markKinds])
  return kind === null ? null : readMarkBody(from, kind, baseTimeMs)
}

function writeMarkBody(to: AvroWriter, mark: MarkEvent, baseTimeMs: number): void {
  writeTime(to, mark, baseTimeMs)
  switch (mark.kind) {
    case 'recoveryPoint':
      return writeRecoveryPoint(to, mark)
    case 'resyncDone':
      return
    case 'digest':
      return writeDigest(to, mark)
    case 'geometry':
      return to.uint('size', mark.sizeBytes)
    default:
      return unreachable(mark)
  }
}

function readMarkBody(from: AvroReader, kind: MarkEvent['kind'], baseTimeMs: number): MarkEvent {
  const capturedAtMs = readTime(from, baseTimeMs)
  switch (kind) {
    case 'recoveryPoint':
      return readRecoveryPoint(from, capturedAtMs)
    case 'resyncDone':
      return { kind, capturedAtMs }
    case 'digest':
      return readDigest(from, capturedAtMs)
    case 'geometry':
      return { kind, capturedAtMs, sizeBytes: from.uint('size') }
    default:
      return unreachable(kind)
  }
}

function writeRecoveryPoint(to: AvroWriter, cut: RecoveryPointEvent): void {
  to.fixedHex('cut id', cut.cutId, 16)
  to.nullable(cut.groupId, (id) => to.id('group id', id))
  to.array(cut.members, { what: 'members', countMax: groupMembersMax }, (member) => to.id('member', member))
  to.nullable(cut.name, (name) => to.string('name', name))
  to.nullable(cut.requestId, (id) => to.id('request id', id))
  to.uint('wall time', cut.wallTimeMs)
}

function readRecoveryPoint(from: AvroReader, capturedAtMs: number): RecoveryPointEvent {
  return {
    kind: 'recoveryPoint',
    capturedAtMs,
    cutId: from.fixedHex(16),
    groupId: from.nullable('group id', () => from.id('group id')),
    members: from.array('members', groupMembersMax, () => from.id('member')),
    name: from.nullable('name', () => from.string('name')),
    requestId: from.nullable('request id', () => from.id('request id')),
    wallTimeMs: from.uint('wall time'),
  }
}

/** S6: what is wrong with a cut's mark in the stream of this disk; null for every other event. */
export function problemOfCut(diskId: string, event: StreamEvent | null | undefined): string | null {
  if (event?.kind !== 'recoveryPoint') return null
  const members = new Set(event.members)
  if (members.size !== event.members.length) return 'its cut lists a member twice'
  return members.has(diskId) ? null : 'its cut does not list the disk itself'
}

function writeDigest(to: AvroWriter, digest: DigestEvent): void {
  to.array(digest.extents, { what: 'digest extents', countMax: digestExtentsMax }, (extent) => {
    writeExtent(to, extent, writeBytesMax)
    to.fixedHex('sha256', extent.sha256, 32)
  })
}

function readDigest(from: AvroReader, capturedAtMs: number): DigestEvent {
  const extents = from.array('digest extents', digestExtentsMax, () => {
    const byteOffset = from.uint('byte offset')
    const byteLength = readLength(from, byteOffset, writeBytesMax)
    return { byteOffset, byteLength, sha256: from.fixedHex(32) }
  })
  return { kind: 'digest', capturedAtMs, extents }
}

function writeExtent(to: AvroWriter, extent: Extent, bytesMax: number): void {
  assert(
    extent.byteLength > 0 && extent.byteOffset + extent.byteLength <= safeMax,
    `extent ${extent.byteOffset}+${extent.byteLength} is empty or beyond 2^53`,
  )
  to.uint('byte offset', extent.byteOffset)
  to.uint('byte length', extent.byteLength, bytesMax)
}

/** The length of an extent that starts at `byteOffset`: not empty, not beyond its limit or 2^53. */
export function readLength(from: AvroReader, byteOffset: number, bytesMax: number): number {
  const byteLength = from.uint('byte length')
  if (byteLength > bytesMax) {
    throw fault('RECORD_TOO_LONG', `an extent has ${byteLength} bytes, at most ${bytesMax}`)
  }
  if (byteLength === 0 || byteOffset + byteLength > safeMax) {
    throw fault('INVALID_RECORD', `extent ${byteOffset}+${byteLength} is empty or beyond 2^53`)
  }
  return byteLength
}
