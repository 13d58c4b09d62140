import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { Command } from './constants.ts'
import type { RequestHeader } from './request-codec.ts'
import { encodeRequestHeader } from './request-codec.ts'
import { RequestParser } from './request-parser.ts'

const header = fc.record({
  commandFlags: fc.nat(0xffff),
  type: fc.constantFrom(0, 1, 1, 1, 3, 4, 6, 7, 99),
  cookieHigh: fc.nat(0xffffffff),
  cookieLow: fc.nat(0xffffffff),
  byteOffset: fc.nat(Number.MAX_SAFE_INTEGER),
  byteLength: fc.nat(200),
})

/** Cuts `bytes` at the given fractions. */
function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [0, ...cuts.map((fraction) => Math.floor(fraction * bytes.length)), bytes.length]
  at.sort((a, b) => a - b)
  return at.slice(1).map((end, index) => Buffer.from(bytes.subarray(at[index], end)))
}

function payloadOf(request: RequestHeader): Buffer {
  const payload = Buffer.alloc(request.type === Command.WRITE ? request.byteLength : 0)
  for (let at = 0; at < payload.length; at += 1) payload[at] = (request.cookieLow + at) % 251
  return payload
}

test('requests come out as they went in, however they were cut and wherever one had to wait or was skipped (P2, P3)', () => {
  const verdicts = fc.array(fc.constantFrom('take' as const, 'skip' as const, 'wait' as const), {
    maxLength: 12,
  })
  const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 })
  fc.assert(
    fc.property(fc.array(header, { maxLength: 12 }), verdicts, cuts, (headers, verdicts, cuts) => {
      const accepted: { header: RequestHeader; payload: Buffer }[] = []
      let asked = 0
      let waited = false
      const parser = new RequestParser({
        admit(request) {
          expect(request).toEqual(headers[asked])
          const verdict = verdicts[asked] ?? 'take'
          if (verdict === 'wait' && !waited) {
            waited = true
            return 'wait'
          }
          waited = false
          asked += 1
          return verdict === 'skip' ? 'skip' : 'take'
        },
        accept: (header, payload) =>
          accepted.push({ header, payload: Buffer.from(payload ?? Buffer.alloc(0)) }),
        rejectMagic: () => expect.unreachable(),
      })
      const bytes = Buffer.concat(
        headers.flatMap((request) => [encodeRequestHeader(request), payloadOf(request)]),
      )
      for (const chunk of cut(bytes, cuts)) {
        parser.push(chunk)
        while (parser.waiting) parser.resume()
      }
      const taken = headers.filter((_, index) => (verdicts[index] ?? 'take') !== 'skip')
      expect(accepted).toEqual(taken.map((request) => ({ header: request, payload: payloadOf(request) })))
      expect(parser.midRequest).toBe(false)
    }),
  )
})

test('a payload that arrives in one chunk is a view into it, never a copy', () => {
  const request = { commandFlags: 0, type: 1, cookieHigh: 0, cookieLow: 7, byteOffset: 0, byteLength: 100 }
  const chunk = Buffer.concat([encodeRequestHeader(request), payloadOf(request)])
  let memory: ArrayBufferLike | undefined
  const parser = new RequestParser({
    admit: () => 'take',
    accept: (_, payload) => (memory = payload?.buffer),
    rejectMagic: () => expect.unreachable(),
  })
  parser.push(chunk)
  expect(memory).toBe(chunk.buffer)
})

test('a write of no bytes that had to wait is taken at resume, though its header ended the chunk (P3)', () => {
  const request = { commandFlags: 0, type: 1, cookieHigh: 0, cookieLow: 7, byteOffset: 0, byteLength: 0 }
  const accepted: RequestHeader[] = []
  let asked = 0
  const parser = new RequestParser({
    admit: () => (asked++ === 0 ? 'wait' : 'take'),
    accept: (taken) => accepted.push(taken),
    rejectMagic: () => expect.unreachable(),
  })
  parser.push(encodeRequestHeader(request))
  parser.resume()
  expect(accepted).toEqual([request])
  expect(parser.midRequest).toBe(false)
})

test('half a request counts as being in the middle of one; a whole one does not', () => {
  const request = { commandFlags: 0, type: 1, cookieHigh: 0, cookieLow: 7, byteOffset: 0, byteLength: 100 }
  const bytes = Buffer.concat([encodeRequestHeader(request), payloadOf(request)])
  const parser = new RequestParser({
    admit: () => 'take',
    accept: () => undefined,
    rejectMagic: () => undefined,
  })
  for (let at = 0; at < bytes.length; at += 1) {
    expect(parser.midRequest).toBe(at > 0)
    parser.push(bytes.subarray(at, at + 1))
  }
  expect(parser.midRequest).toBe(false)
})

test('a wrong magic stops the parser for good, and no garbage makes it throw', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 64 })), (chunks) => {
      let rejected = 0
      const parser = new RequestParser({
        admit: () => 'take',
        accept: () => expect.unreachable(),
        rejectMagic: () => (rejected += 1),
      })
      for (const chunk of chunks) parser.push(Buffer.from([0xff, ...chunk]))
      expect(rejected).toBeLessThanOrEqual(1)
      expect(parser.stopped).toBe(rejected === 1)
    }),
  )
})
