import { crc32c as libraryCrc32c } from '@platformatic/kafka'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32c, nativeCrc32c, slicedCrc32c } from './crc32c.ts'

test('the checksum of "123456789" is the one the standard gives (RFC 3720)', () => {
  const check = Buffer.from('123456789')
  expect(crc32c(check)).toBe(0xe3069283)
  expect(slicedCrc32c()(check)).toBe(0xe3069283)
})

test('the native and the computed checksum agree with the library on any bytes', () => {
  const [native, sliced] = [nativeCrc32c(), slicedCrc32c()]
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const expected = libraryCrc32c(Buffer.from(bytes))
      expect(sliced(bytes)).toBe(expected)
      if (native !== null) expect(native(bytes)).toBe(expected)
    }),
  )
})
