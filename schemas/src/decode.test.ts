import { crc32 } from 'node:zlib'
import { updateSetBytesMax, writeGroupBytesMax } from '@blockferry/disk-stream'
import type { StreamEvent, UpdateSet, WriteGroup } from '@blockferry/disk-stream'
import { codeOf } from '@blockferry/runtime'
import { describe, expect, test } from 'vitest'
import { AvroWriter } from './avro-writer.ts'
import { decodeRecord } from './decode.ts'
import { writeGeneration } from './generation-codec.ts'
import { idBytesMax, updateSetExtentsMax, writeGroupEventsMax } from './limits.ts'
import { schemas } from './single-object.ts'
import { encodeUpdateSet } from './update-set-codec.ts'
import { encodeWriteGroup } from './write-group-codec.ts'

const generation = {
  number: 3,
  id: '0123456789abcdef'.repeat(2),
  ownerSite: 'site-a',
  reason: 'initial',
  base: { kind: 'full' },
  predecessor: null,
  stamp: { agentId: 'agent', counter: 9 },
} as const

function writeEvents(...byteLengths: number[]): StreamEvent[] {
  return byteLengths.map((byteLength, index) => ({
    kind: 'write',
    capturedAtMs: 1000 + index,
    byteOffset: index * 2 ** 20,
    byteLength,
    dataCrc: 0,
  }))
}

function group(changes: Partial<WriteGroup> = {}): WriteGroup {
  const payload = changes.payload ?? Buffer.alloc(8192, 7)
  const base = { diskId: 'vda', generation, resend: false, firstSequence: 1, chainBefore: 0, chainAfter: 1 }
  return { ...base, events: writeEvents(4096, 4096), payloadCrc: crc32(payload), payload, ...changes }
}

function set(changes: Partial<UpdateSet> = {}): UpdateSet {
  const payload = changes.payload ?? Buffer.alloc(10, 7)
  return {
    diskId: 'vda',
    generation,
    firstSequence: 5,
    lastSequence: 6,
    chainBefore: 0,
    chainAfter: 8,
    joints: [{ sequence: 6, chain: 8 }],
    firstCapturedAtMs: 1,
    lastCapturedAtMs: 2,
    rawBytes: 10,
    resumeInputOffset: 2n ** 62n,
    mark: null,
    extents: [{ kind: 'data', byteOffset: 0, byteLength: 10 }],
    codec: 'none',
    payloadCrc: crc32(payload),
    payload,
    ...changes,
  }
}

/** The code with which a message is refused; null when it is taken. */
function refusal(message: Buffer): string | null {
  try {
    decodeRecord(message)
    return null
  } catch (error) {
    return codeOf(error)
  }
}

/** A WriteGroup as a writer without any check would send it, up to its events. */
function uncheckedHead(diskId: string): AvroWriter {
  const to = new AvroWriter(256)
  to.raw(schemas.WriteGroup)
  to.uint('length', Buffer.byteLength(diskId))
  to.raw(Buffer.from(diskId))
  writeGeneration(to, generation)
  to.boolean(false)
  for (const field of [1, 0, 1, 1000]) to.uint('field', field)
  return to
}

describe('a message', () => {
  const message = encodeWriteGroup(group())

  test('keeps its payload where it is: the decoded one is a view', () => {
    const decoded = decodeRecord(message)
    expect(decoded.kind === 'WriteGroup' && decoded.record.payload.buffer === message.buffer).toBe(true)
  })

  test('is refused at every length shorter than its own', () => {
    for (let length = 0; length < message.length; length += length < 400 ? 1 : 997) {
      expect([length, refusal(message.subarray(0, length))]).toEqual([length, 'TRUNCATED_RECORD'])
    }
  })

  test('is refused when bytes follow it', () => {
    expect(refusal(Buffer.concat([message, Buffer.alloc(1)]))).toBe('INVALID_RECORD')
  })

  test('is refused when its fingerprint, or the marker before it, is unknown', () => {
    for (const at of [0, 1, 2, 9]) {
      const changed = Buffer.from(message)
      changed[at] = (changed[at] ?? 0) ^ 1
      expect(refusal(changed)).toBe('UNKNOWN_SCHEMA')
    }
  })

  test('is refused when one bit of its payload is another', () => {
    const changed = Buffer.from(message)
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 0x10
    expect(refusal(changed)).toBe('PAYLOAD_CRC')
  })
})

describe('a cut that does not list the disk whose stream carries it is refused, for it could never complete (S6)', () => {
  const cut = {
    kind: 'recoveryPoint',
    capturedAtMs: 1,
    cutId: 'ab'.repeat(16),
    groupId: null,
    members: ['vda', 'vdx'],
    name: null,
    requestId: null,
    wallTimeMs: 1,
  } as const
  const inGroup = encodeWriteGroup(group({ events: [cut], payload: Buffer.alloc(0) }))
  const inSet = encodeUpdateSet(set({ mark: cut }))

  test.each([
    ['write group', inGroup],
    ['update set', inSet],
  ])('%s', (_name, message) => {
    expect(refusal(message)).toBeNull()
    const foreign = Buffer.from(message)
    foreign.write('vdy', message.lastIndexOf('vda'))
    expect(refusal(foreign)).toBe('INVALID_RECORD')
    const twice = Buffer.from(message)
    twice.write('vda', message.lastIndexOf('vdx'))
    expect(refusal(twice)).toBe('INVALID_RECORD')
  })
})

describe('a length or count beyond its limit is refused before anything is allocated for it', () => {
  test('disk id', () => {
    expect(refusal(uncheckedHead('x'.repeat(idBytesMax + 1)).finish())).toBe('RECORD_TOO_LONG')
  })

  test('event count', () => {
    const to = uncheckedHead('vda')
    to.uint('count', writeGroupEventsMax + 1)
    expect(refusal(to.finish())).toBe('RECORD_TOO_LONG')
  })

  test('event count over several blocks', () => {
    const to = uncheckedHead('vda')
    const resyncDone = Buffer.from([6, 0])
    for (let block = 0; block < 2; block += 1) {
      to.uint('count', writeGroupEventsMax)
      for (let item = 0; item < writeGroupEventsMax; item += 1) to.raw(resyncDone)
    }
    expect(refusal(to.finish())).toBe('RECORD_TOO_LONG')
  })

  test('an event count within its limit but longer than the message', () => {
    const to = uncheckedHead('vda')
    to.uint('count', writeGroupEventsMax)
    expect(refusal(to.finish())).toBe('TRUNCATED_RECORD')
  })

  test('payload', () => {
    const to = uncheckedHead('vda')
    to.uint('count', 0)
    to.uint32('crc', 0)
    to.uint('payload length', writeGroupBytesMax + 1)
    expect(refusal(to.finish())).toBe('RECORD_TOO_LONG')
  })

  test('message', () => {
    expect(refusal(Buffer.concat([schemas.WriteGroup, Buffer.alloc(8 * 2 ** 20)]))).toBe('RECORD_TOO_LONG')
  })
})

describe('our own writer asserts', () => {
  const cases: [string, () => Buffer][] = [
    ['a payload CRC that is not the payload’s', () => encodeWriteGroup(group({ payloadCrc: 1 }))],
    ['a payload shorter than its writes', () => encodeWriteGroup(group({ events: writeEvents(4096, 4097) }))],
    ['no events', () => encodeWriteGroup(group({ events: [], payload: Buffer.alloc(0) }))],
    [
      'a mark before the end',
      () =>
        encodeWriteGroup(group({ events: [{ kind: 'resyncDone', capturedAtMs: 1 }, ...writeEvents(8192)] })),
    ],
    [
      'times that are not whole milliseconds',
      () =>
        encodeWriteGroup(
          group({ events: writeEvents(8192).map((event) => ({ ...event, capturedAtMs: 1.5 })) }),
        ),
    ],
    [
      'a generation id in upper case',
      () => encodeWriteGroup(group({ generation: { ...generation, id: 'AB'.repeat(16) } })),
    ],
    ['a chain beyond 32 bits', () => encodeWriteGroup(group({ chainAfter: 2 ** 32 }))],
    [
      'extents that overlap',
      () =>
        encodeUpdateSet(
          set({
            extents: [
              { kind: 'data', byteOffset: 0, byteLength: 10 },
              { kind: 'zero', byteOffset: 9, byteLength: 1, mayUnmap: false },
            ],
          }),
        ),
    ],
    ['a last joint that is not the end', () => encodeUpdateSet(set({ chainAfter: 9 }))],
    [
      'joints that do not ascend',
      () =>
        encodeUpdateSet(
          set({
            joints: [
              { sequence: 6, chain: 1 },
              { sequence: 6, chain: 8 },
            ],
          }),
        ),
    ],
    [
      'more data than a set may have',
      () => {
        const payload = Buffer.alloc(updateSetBytesMax + 2 ** 18 + 1)
        return encodeUpdateSet(
          set({ payload, extents: [{ kind: 'data', byteOffset: 0, byteLength: payload.length }] }),
        )
      },
    ],
    [
      'more extents than a set may have',
      () =>
        encodeUpdateSet(
          set({
            payload: Buffer.alloc(0),
            extents: Array.from({ length: updateSetExtentsMax + 1 }, (_, index) => ({
              kind: 'zero',
              byteOffset: 2 * index,
              byteLength: 1,
              mayUnmap: true,
            })),
          }),
        ),
    ],
  ]

  test.each(cases)('%s', (_, encode) => {
    expect(encode).toThrow(expect.objectContaining({ name: 'AssertionError' }))
  })
})

describe('values that no writer of ours produces are refused', () => {
  const small = encodeUpdateSet(set())

  test('an update set whose extents overlap, whose joints end elsewhere, or whose numbers are negative', () => {
    // Every single-byte change of the head is refused or decodes to a set that our own writer would send.
    let refused = 0
    for (let at = 10; at < small.length - 10; at += 1) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        const changed = Buffer.from(small)
        changed[at] = value
        if (refusal(changed) !== null) refused += 1
        else expect(() => encodeUpdateSet(decodeRecord(changed).record as UpdateSet)).not.toThrow()
      }
    }
    expect(refused).toBeGreaterThan(50)
  })
})
