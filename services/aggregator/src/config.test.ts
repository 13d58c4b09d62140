import { ConfigFault, parseConfig } from '@blockferry/runtime/service'
import { expect, test } from 'vitest'
import { options, rules } from './config.ts'

test.each([
  ['nothing else', {}, 0],
  ['a queue larger than all that may be held', { FOLDING_BYTES_MAX: '16M', QUEUED_BYTES_MAX: '17M' }, 1],
  ['a fetch larger than all that may be held', { FOLDING_BYTES_MAX: '16M', FETCH_BYTES_MAX: '17M' }, 1],
  [
    'one name for both sites, and that',
    { FOLDING_BYTES_MAX: '16M', FETCH_BYTES_MAX: '17M', SITE: 'site-b' },
    2,
  ],
])('the aggregator with its brokers and %s has the faults it should', (_what, settings, count) => {
  const env = Object.entries({ KAFKA_BROKERS: 'a:1', ...settings }).map(([name, value]) => [
    `BLOCKFERRY_${name}`,
    value,
  ])
  const parse = () =>
    parseConfig({ service: 'aggregator', options, rules, argv: [], env: Object.fromEntries(env) })
  if (count === 0) {
    expect(parse()).toMatchObject({ kafkaBrokers: ['a:1'] })
    return
  }
  let found: unknown
  try {
    parse()
  } catch (error) {
    found = error
  }
  expect(found).toBeInstanceOf(ConfigFault)
  expect((found as ConfigFault).faults).toHaveLength(count)
})
