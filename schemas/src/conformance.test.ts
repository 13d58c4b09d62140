import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeRecord } from './decode.ts'
import type { AnyRecord } from './decode.ts'
import { describeRecord } from './describe.ts'
import { schemas } from './single-object.ts'
import { avscForm, avscType } from '../testing/avsc-form.ts'
import { encodeAny } from '../testing/encode-any.ts'
import { arbitraries } from '../testing/record-arbitraries.ts'

const runs = process.env['BLOCKFERRY_TEST_COUNTS'] === 'long' ? 2000 : 150

describe.each(Object.keys(arbitraries) as AnyRecord['kind'][])('%s', (kind) => {
  const type = avscType(kind)

  test('comes back as it was sent', () => {
    fc.assert(
      fc.property(arbitraries[kind], (any) => {
        expect(decodeRecord(encodeAny(any))).toEqual(any)
      }),
      { numRuns: runs },
    )
  })

  test('is, byte for byte, what another Avro implementation writes for its schema', () => {
    fc.assert(
      fc.property(arbitraries[kind], (any) => {
        const theirs = Buffer.concat([schemas[kind], type.toBuffer(avscForm(any))])
        expect(encodeAny(any).equals(theirs)).toBe(true)
      }),
      { numRuns: runs },
    )
  })

  test('is described as plain JSON', () => {
    fc.assert(
      fc.property(arbitraries[kind], (any) => {
        const described = describeRecord(any)
        expect(JSON.parse(JSON.stringify(described))).toMatchObject({ kind: described['kind'] })
      }),
      { numRuns: 20 },
    )
  })
})
