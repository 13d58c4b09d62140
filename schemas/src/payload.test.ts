import { createHash } from 'node:crypto'
import { crc32, zstdCompressSync } from 'node:zlib'
import { codeOf } from '@blockferry/runtime'
import { describe, expect, test } from 'vitest'
import { packPayload, packPayloadSync, unpackPayload, unpackPayloadSync } from './payload.ts'

const text = Buffer.from('the quick brown fox jumps over the lazy dog. '.repeat(2000))
const noise = Buffer.concat(
  Array.from({ length: 256 }, (_, index) => createHash('sha256').update(`${index}`).digest()),
)

function setOf(codec: 'none' | 'zstd', payload: Buffer, byteLength: number) {
  return { diskId: 'vda', codec, payload, extents: [{ kind: 'data' as const, byteOffset: 0, byteLength }] }
}

describe('a payload', () => {
  test('is packed when that saves an eighth, and unpacks to the same bytes', async () => {
    const packed = await packPayload([text.subarray(0, 100), text.subarray(100)])
    expect(packed.codec).toBe('zstd')
    expect(packed.payload.length).toBeLessThan(text.length / 10)
    expect(packed.payloadCrc).toBe(crc32(packed.payload))
    expect((await unpackPayload(setOf('zstd', packed.payload, text.length))).equals(text)).toBe(true)
  })

  test('that does not shrink is left as it is', async () => {
    expect(await packPayload([noise])).toEqual({ codec: 'none', payload: noise, payloadCrc: crc32(noise) })
    expect((await packPayload([])).codec).toBe('none')
  })

  test('as large as a set is judged by a sample from all over it', async () => {
    const large = Buffer.alloc(1024 * 1024, noise)
    for (const bytes of [large, Buffer.concat([noise, Buffer.alloc(1024 * 1024)])]) {
      const packed = await packPayload([bytes])
      expect(packed.codec).toBe(packPayloadSync([bytes]).codec)
      if (packed.codec === 'none') expect(packed.payload).toBe(bytes)
      else expect((await unpackPayload(setOf('zstd', packed.payload, bytes.length))).equals(bytes)).toBe(true)
    }
  })

  test('packed on the calling thread unpacks in the pool, and the other way round', async () => {
    const here = packPayloadSync([text])
    const there = await packPayload([text])
    expect(here.codec).toBe(there.codec)
    expect((await unpackPayload(setOf('zstd', here.payload, text.length))).equals(text)).toBe(true)
    expect(unpackPayloadSync(setOf('zstd', there.payload, text.length)).equals(text)).toBe(true)
    expect(packPayloadSync([noise])).toEqual(await packPayload([noise]))
  })

  test('never unpacks to more or less than its extents claim', async () => {
    const packed = zstdCompressSync(text)
    for (const claimed of [text.length - 1, text.length + 1, 1]) {
      const set = setOf('zstd', packed, claimed)
      await expect(unpackPayload(set)).rejects.toMatchObject({ code: 'PAYLOAD_UNPACK' })
      expect(() => unpackPayloadSync(set)).toThrow(expect.objectContaining({ code: 'PAYLOAD_UNPACK' }))
    }
  })

  test('that is no zstd frame is refused', async () => {
    const code = await unpackPayload(setOf('zstd', noise, 1)).catch(codeOf)
    expect(code).toBe('PAYLOAD_UNPACK')
  })
})
