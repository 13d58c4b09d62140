import { Reader, createRecordsBatch, readRecordsBatches } from '@platformatic/kafka'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { OutgoingRecord } from '../replication-log.ts'
import { batchCrc, encodeRecordBatch } from './record-batch.ts'
import { type DecodedBatches, decodeRecordBatches } from './record-batch-decoder.ts'

const identity = { producerId: 77n, producerEpoch: 3, firstSequence: 12 }
const timestampMs = 1_795_000_000_123

const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array))
const records: fc.Arbitrary<readonly OutgoingRecord[]> = fc.array(
  fc.record({ key: bytes(100), value: bytes(300) }),
  { minLength: 1, maxLength: 150 },
)

/** What a fetch from an offset reads; the partition ends far beyond unless told otherwise. */
function decode(bytes: Buffer, kafkaOffset: bigint, highWatermark = 2n ** 62n): DecodedBatches {
  return decodeRecordBatches({ bytes, highWatermark }, kafkaOffset)
}

/** A batch as the broker stores it: the base offset is set there and is outside the checksum. */
function storedAt(kafkaOffset: bigint, batch: Buffer): Buffer {
  const stored = Buffer.from(batch)
  stored.writeBigInt64BE(kafkaOffset, 0)
  return stored
}

function plain(found: readonly OutgoingRecord[]): readonly (readonly [string, string])[] {
  return found.map(({ key, value }) => [key.toString('hex'), value.toString('hex')])
}

describe('a record batch', () => {
  test('decodes to what was encoded, at consecutive offsets', () => {
    fc.assert(
      fc.property(records, fc.bigInt({ min: 0n, max: 2n ** 60n }), (written, base) => {
        const stored = storedAt(base, encodeRecordBatch(written, { identity, timestampMs }))
        const decoded = decode(stored, base)
        expect(decoded.problem).toBeNull()
        expect(decoded.nextKafkaOffset).toBe(base + BigInt(written.length))
        expect(
          plain(decoded.records.map(({ key, value }) => ({ key: key ?? Buffer.alloc(0), value }))),
        ).toEqual(plain(written))
        expect(decoded.records.every((record) => record.timestampMs === timestampMs)).toBe(true)
      }),
      { numRuns: 50 },
    )
  })

  test('is read by the library as it was written here, session and all', () => {
    fc.assert(
      fc.property(records, (written) => {
        const [batch] = readRecordsBatches(Reader.from(encodeRecordBatch(written, { identity, timestampMs })))
        expect(batch).toMatchObject({ ...identity, lastOffsetDelta: written.length - 1, magic: 2 })
        expect(
          plain(
            (batch?.records ?? []).map(({ key, value }) => ({
              key: key ?? Buffer.alloc(0),
              value: value ?? Buffer.alloc(0),
            })),
          ),
        ).toEqual(plain(written))
      }),
      { numRuns: 50 },
    )
  })

  test('of the library is read here, times before and after the first included', () => {
    const messages = [0, -1_000_000_000, 1_000_000_000].map((deltaMs) => ({
      topic: 't',
      key: Buffer.from('k'),
      value: Buffer.from(String(deltaMs)),
      timestamp: BigInt(timestampMs + deltaMs),
    }))
    const decoded = decode(createRecordsBatch(messages, {}).buffer, 0n)
    expect(decoded.problem).toBeNull()
    expect(decoded.records.map((record) => record.timestampMs - timestampMs)).toEqual([
      0, -1_000_000_000, 1_000_000_000,
    ])
  })

  test("carries the broker's append time when the topic says so", () => {
    const batch = encodeRecordBatch([{ key: Buffer.from('k'), value: Buffer.from('v') }], {
      identity,
      timestampMs: 1,
    })
    batch.writeInt16BE(0b1000, 21)
    batch.writeBigInt64BE(BigInt(timestampMs), 35)
    batch.writeUInt32BE(batchCrc(batch), 17)
    expect(decode(batch, 0n).records[0]?.timestampMs).toBe(timestampMs)
  })

  test('cut short at the end of a fetch is left for the next', () => {
    const written = [{ key: Buffer.from('k'), value: Buffer.from('value') }]
    const first = storedAt(5n, encodeRecordBatch(written, { identity, timestampMs }))
    const second = storedAt(6n, encodeRecordBatch(written, { identity, timestampMs }))
    for (let cut = 0; cut < second.length; cut += 1) {
      const decoded = decode(Buffer.concat([first, second.subarray(0, cut)]), 5n)
      expect(decoded).toMatchObject({ problem: null, nextKafkaOffset: 6n })
      expect(decoded.records).toHaveLength(1)
    }
  })

  test('with any bit flipped is never taken for records', () => {
    const good = storedAt(
      0n,
      encodeRecordBatch([{ key: Buffer.from('k'), value: Buffer.from('one') }], { identity, timestampMs: 1 }),
    )
    const batch = storedAt(
      1n,
      encodeRecordBatch([{ key: Buffer.from('k'), value: Buffer.from('two') }], { identity, timestampMs: 1 }),
    )
    // Offset, length and leader epoch stand before the checksummed part; the fetch position guards the offset.
    for (let bit = 16 * 8; bit < batch.length * 8; bit += 1) {
      const damaged = Buffer.from(batch)
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const decoded = decode(Buffer.concat([good, damaged]), 0n)
      expect(decoded.records.map(({ value }) => value.toString())).toEqual(['one'])
      expect(decoded.problem).not.toBeNull()
      expect(decoded.nextKafkaOffset).toBe(1n)
    }
  })

  test('with any bit of its offset or length flipped is found out, at once or by the next fetch', () => {
    const written = [{ key: Buffer.from('k'), value: Buffer.from('one') }]
    const batches = [0n, 1n].map((at) => storedAt(at, encodeRecordBatch(written, { identity, timestampMs })))
    const [good = Buffer.alloc(0), batch = Buffer.alloc(0)] = batches
    for (let bit = 0; bit < 12 * 8; bit += 1) {
      const damaged = Buffer.from(batch)
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const together = decode(Buffer.concat([good, damaged]), 0n, 2n)
      expect(together).toMatchObject({ nextKafkaOffset: 1n })
      expect(together.records).toHaveLength(1)
      const alone = decode(damaged, 1n, 2n)
      expect(alone).toMatchObject({ records: [], nextKafkaOffset: 1n, behindDamage: 2n })
      expect(alone.problem).not.toBeNull()
    }
  })

  test('that is damaged is left behind where the next one begins, whatever its own header says', () => {
    const written = Array.from({ length: 5 }, () => ({ key: Buffer.from('k'), value: Buffer.from('v') }))
    const batch = storedAt(10n, encodeRecordBatch(written, { identity, timestampMs }))
    const next = storedAt(15n, encodeRecordBatch(written, { identity, timestampMs }))
    const flip = (at: number): Buffer => {
      const damaged = Buffer.from(batch)
      damaged[at] = (damaged[at] ?? 0) ^ 0x40
      return damaged
    }
    const lastOffsetDelta = 26
    const value = batch.length - 2
    const behindOf = (bytes: readonly Buffer[]) => decode(Buffer.concat(bytes), 12n, 20n).behindDamage
    expect(behindOf([flip(value), next])).toBe(15n)
    expect(behindOf([flip(lastOffsetDelta), next])).toBe(15n)
    expect(behindOf([flip(value)])).toBe(15n)
    // Nothing to go by: the next offset, and so on.
    expect(behindOf([flip(lastOffsetDelta)])).toBe(13n)
  })

  test('that claims impossible lengths ends as a problem, not as a crash', () => {
    fc.assert(
      fc.property(
        records,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        (written, changes) => {
          const batch = encodeRecordBatch(written, { identity, timestampMs })
          for (const [at, byte] of changes) {
            const index = 57 + (at % (batch.length - 57))
            batch[index] = byte
          }
          batch.writeUInt32BE(batchCrc(batch), 17)
          const decoded = decode(batch, 0n)
          expect(decoded.records.length).toBeLessThanOrEqual(batch.length)
        },
      ),
      { numRuns: process.env['BLOCKFERRY_TEST_COUNTS'] === 'long' ? 20_000 : 500 },
    )
  })

  test('written compressed by somebody else is refused', () => {
    const messages = [{ topic: 't', key: Buffer.from('k'), value: Buffer.alloc(1_000) }]
    const decoded = decode(createRecordsBatch(messages, { compression: 'gzip' }).buffer, 0n)
    const problem = 'batch is compressed'
    expect(decoded).toMatchObject({ records: [], nextKafkaOffset: 0n, problem, behindDamage: null })
  })
})
