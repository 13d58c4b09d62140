import { protocolErrorsCodesById } from '@platformatic/kafka'
import { expect, test } from 'vitest'
import { kafkaErrorName } from './kafka-error-names.ts'

test('every error code has the name the library gives it, and an unknown one still has a name', () => {
  const theirs = Object.entries(protocolErrorsCodesById)
  expect(theirs.length).toBeGreaterThan(120)
  for (const [code, name] of theirs) expect([code, kafkaErrorName(Number(code))]).toEqual([code, name])
  expect(kafkaErrorName(9_999)).toBe('ERROR_9999')
})
