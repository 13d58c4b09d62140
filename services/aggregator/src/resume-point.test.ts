import { expect, test } from 'vitest'
import { clampToInput } from './resume-point.ts'

test('the resume point lies within what the input holds; beyond its end nothing of it is known', () => {
  const input = { earliest: 10n, latest: 20n }
  expect(clampToInput(15n, input)).toEqual({ kafkaOffset: 15n, found: 'tail' })
  expect(clampToInput(10n, input)).toEqual({ kafkaOffset: 10n, found: 'tail' })
  expect(clampToInput(20n, input)).toEqual({ kafkaOffset: 20n, found: 'tail' })
  expect(clampToInput(9n, input)).toEqual({ kafkaOffset: 10n, found: 'truncated' })
  expect(clampToInput(21n, input)).toEqual({ kafkaOffset: 10n, found: 'replaced' })
})
