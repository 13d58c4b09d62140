import { crc32 } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { advanceChain, initialChain } from './chain.ts'
import type { DigestEvent, GeometryEvent, StreamEvent, WriteEvent, ZeroEvent } from './event.ts'
import { recoveryPoint } from './testing/model-source.ts'

const id = '000102030405060708090a0b0c0d0e0f'
const write: WriteEvent = {
  kind: 'write',
  byteOffset: 2 ** 40 + 4096,
  byteLength: 4096,
  dataCrc: 0xdeadbeef,
  capturedAtMs: 1_795_000_000_123,
}
const zero: ZeroEvent = { kind: 'zero', byteOffset: 0, byteLength: 512, mayUnmap: true, capturedAtMs: 1 }
const digest: DigestEvent = {
  kind: 'digest',
  capturedAtMs: 2,
  extents: [{ byteOffset: 0, byteLength: 4096, sha256: 'ab'.repeat(32) }],
}
const geometry: GeometryEvent = { kind: 'geometry', capturedAtMs: 3, sizeBytes: 2 ** 30 }
const cut = recoveryPoint({ cutId: 'c'.repeat(32), groupId: 'db', members: ['a', 'b'], name: 'noon' })

describe('chain', () => {
  test('starts from the CRC-32 of the generation id’s bytes', () => {
    expect(initialChain(id)).toBe(crc32(Buffer.from(id, 'hex')))
  })

  test('stays what it was in every version: both sites and every old spool compute it (C2)', () => {
    const events: readonly StreamEvent[] = [
      write,
      zero,
      digest,
      geometry,
      cut,
      { kind: 'resyncDone', capturedAtMs: 4 },
    ]
    const chains: number[] = []
    let chain = initialChain(id)
    for (const [index, event] of events.entries()) {
      chain = advanceChain(chain, { sequence: index + 1, event })
      chains.push(chain)
    }
    expect(chains).toEqual([1581171495, 4012528492, 116324865, 3276250294, 3675458017, 3516244027])
  })

  test('hashes the documented 40 bytes of a write', () => {
    const header = Buffer.alloc(40)
    header.writeUInt8(1, 0)
    header.writeUInt32LE(write.dataCrc, 4)
    header.writeBigUInt64LE(7n, 8)
    header.writeBigUInt64LE(BigInt(write.capturedAtMs), 16)
    header.writeBigUInt64LE(BigInt(write.byteOffset), 24)
    header.writeBigUInt64LE(BigInt(write.byteLength), 32)
    expect(advanceChain(5, { sequence: 7, event: write })).toBe(crc32(header, 5))
  })

  const variants: readonly (readonly [string, StreamEvent, StreamEvent])[] = [
    ['the data CRC', write, { ...write, dataCrc: 1 }],
    ['the byte offset', write, { ...write, byteOffset: 4096 }],
    ['the length', write, { ...write, byteLength: 8192 }],
    ['the captured time', write, { ...write, capturedAtMs: write.capturedAtMs + 1 }],
    ['mayUnmap', zero, { ...zero, mayUnmap: false }],
    ['the kind', geometry, { kind: 'resyncDone', capturedAtMs: 3 }],
    ['a cut’s id', cut, { ...cut, cutId: 'd'.repeat(32) }],
    ['a cut’s members', cut, { ...cut, members: ['ab'] }],
    ['a cut’s group', cut, { ...cut, groupId: null }],
    ['a cut’s name', cut, { ...cut, name: null }],
    ['an empty name and none', { ...cut, name: '' }, { ...cut, name: null }],
    ['a cut’s request', cut, { ...cut, requestId: 'r' }],
    ['a cut’s wall time', cut, { ...cut, wallTimeMs: 9 }],
    ['a digest', digest, { ...digest, extents: [{ ...digest.extents[0]!, sha256: 'cd'.repeat(32) }] }],
    ['the number of digests', digest, { ...digest, extents: [] }],
    ['the size', geometry, { ...geometry, sizeBytes: 2 ** 31 }],
  ]
  test.each(variants)('tells events apart that differ only in %s (C1)', (_, one, other) => {
    expect(advanceChain(0, { sequence: 1, event: one })).not.toBe(
      advanceChain(0, { sequence: 1, event: other }),
    )
    expect(advanceChain(0, { sequence: 1, event: one })).not.toBe(
      advanceChain(0, { sequence: 2, event: one }),
    )
  })

  test('never meets again once two histories differ (C1)', () => {
    const crc = fc.integer({ min: 0, max: 2 ** 32 - 1 })
    fc.assert(
      fc.property(crc, crc, fc.array(crc, { maxLength: 20 }), (here, there, tail) => {
        fc.pre(here !== there)
        let [a, b] = [here, there]
        for (const [index, dataCrc] of tail.entries()) {
          a = advanceChain(a, { sequence: index + 1, event: { ...write, dataCrc } })
          b = advanceChain(b, { sequence: index + 1, event: { ...write, dataCrc } })
          expect(a).not.toBe(b)
        }
      }),
    )
  })
})
