import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { ReplyFlag, ReplyType } from './constants.ts'
import {
  encodeBlockStatusChunk,
  encodeErrorChunk,
  replyHeaderBytesMax,
  writeChunkHeader,
  writeOffsetDataHeader,
  writeSimpleReply,
} from './reply-codec.ts'
import type { ReplyPart } from './reply-parser.ts'
import { ReplyParser } from './reply-parser.ts'

const cookie = { cookieHigh: fc.nat(0xffffffff), cookieLow: fc.nat(0xffffffff) }
const errno = fc.constantFrom(1, 5, 12, 22, 28, 75, 95, 108)
const data = fc.uint8Array({ minLength: 1, maxLength: 100 }).map((bytes) => Buffer.from(bytes))
const descriptors = fc.array(
  fc.record({ byteLength: fc.integer({ min: 1, max: 0xffffffff }), status: fc.nat(3) }),
  { minLength: 1, maxLength: 5 },
)
const done = fc.constant(true)
const part: fc.Arbitrary<ReplyPart> = fc.oneof(
  fc.record({ ...cookie, done, kind: fc.constant('ok' as const) }),
  fc.record({
    ...cookie,
    done,
    kind: fc.constant('error' as const),
    errno,
    message: fc.string({ unit: 'grapheme' }),
  }),
  fc.record({ ...cookie, done, kind: fc.constant('data' as const), byteOffset: fc.maxSafeNat(), data }),
  fc.record({ ...cookie, done, kind: fc.constant('status' as const), descriptors }),
)

function encode(reply: ReplyPart): Buffer {
  const header = Buffer.alloc(replyHeaderBytesMax)
  const { cookieHigh, cookieLow } = reply
  switch (reply.kind) {
    case 'error':
      return encodeErrorChunk(reply)
    case 'data': {
      const { byteOffset, data } = reply
      const at = { cookieHigh, cookieLow, byteOffset, byteLength: data.length }
      return Buffer.concat([header.subarray(0, writeOffsetDataHeader(header, 0, at)), data])
    }
    case 'status':
      return encodeBlockStatusChunk({ cookieHigh, cookieLow, contextId: 1, descriptors: reply.descriptors })
    case 'ok':
    case 'hole':
    case 'simpleData':
      return header.subarray(0, writeSimpleReply(header, 0, { cookieHigh, cookieLow, errno: 0 }))
  }
}

test('replies come out as they went in, however they were cut', () => {
  fc.assert(
    fc.property(fc.array(part, { maxLength: 10 }), fc.integer({ min: 1, max: 60 }), (replies, chunkBytes) => {
      const seen: ReplyPart[] = []
      const parser = new ReplyParser({
        simpleDataBytesOf: () => 0,
        chunkBytesMax: 1 << 20,
        part: (reply) => seen.push(reply),
      })
      const bytes = Buffer.concat(replies.map(encode))
      for (let at = 0; at < bytes.length; at += chunkBytes) {
        expect(parser.push(bytes.subarray(at, at + chunkBytes))).toBeUndefined()
      }
      expect(seen).toEqual(replies)
    }),
  )
})

test('an error with an offset, and an error type of the future, are errors; a hole is a hole', () => {
  const seen: ReplyPart[] = []
  const parser = new ReplyParser({
    simpleDataBytesOf: () => 0,
    chunkBytesMax: 99,
    part: (reply) => seen.push(reply),
  })
  const ids = { cookieHigh: 0, cookieLow: 1 }
  parser.push(encodeErrorChunk({ ...ids, errno: 5, message: 'bad sector', byteOffset: 77 }))
  const future = encodeErrorChunk({ ...ids, errno: 5, message: 'later' })
  future.writeUInt16BE(0x8abc, 6)
  parser.push(future)
  const hole = Buffer.alloc(32)
  writeChunkHeader(hole, 0, { ...ids, flags: ReplyFlag.DONE, type: ReplyType.OFFSET_HOLE, payloadBytes: 12 })
  hole.writeUInt32BE(9, 24)
  hole.writeUInt32BE(512, 28)
  parser.push(hole)
  expect(seen.map((reply) => reply.kind)).toEqual(['error', 'error', 'hole'])
  expect(seen[2]).toMatchObject({ byteOffset: 9, byteLength: 512 })
})

test('garbage is called a violation, or waited for, but never thrown', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('67446698', '668e33ef', ''),
      fc.uint8Array({ maxLength: 80 }),
      (magic, garbage) => {
        const parser = new ReplyParser({
          simpleDataBytesOf: () => 9,
          chunkBytesMax: 64,
          part: () => undefined,
        })
        const verdict = parser.push(Buffer.concat([Buffer.from(magic, 'hex'), garbage]))
        expect(['undefined', 'string']).toContain(typeof verdict)
      },
    ),
  )
})
