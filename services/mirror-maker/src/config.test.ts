import { ConfigFault, parseConfig } from '@blockferry/runtime/service'
import { expect, test } from 'vitest'
import { options, rules } from './config.ts'

function faultsOf(settings: Readonly<Record<string, string>>): readonly string[] {
  const env = Object.entries(settings).map(([name, value]) => [`BLOCKFERRY_${name}`, value])
  try {
    parseConfig({ service: 'mirror-maker', options, rules, argv: [], env: Object.fromEntries(env) })
    return []
  } catch (error) {
    if (error instanceof ConfigFault) return error.faults.map(({ name }) => name)
    throw error
  }
}

test('the mirror-maker needs brokers of both sites, and of two', () => {
  expect(faultsOf({})).toEqual([
    '--kafka-brokers (BLOCKFERRY_KAFKA_BROKERS)',
    '--peer-kafka-brokers (BLOCKFERRY_PEER_KAFKA_BROKERS)',
  ])
  expect(faultsOf({ KAFKA_BROKERS: 'b:1', PEER_KAFKA_BROKERS: 'wan:1' })).toEqual([])
  expect(faultsOf({ KAFKA_BROKERS: 'b:1,c:1', PEER_KAFKA_BROKERS: 'c:1' })).toHaveLength(1)
})

test('its heap does not begin larger than it may become', () => {
  const brokers = { KAFKA_BROKERS: 'b:1', PEER_KAFKA_BROKERS: 'wan:1' }
  expect(faultsOf({ ...brokers, HEAP_BYTES_INITIAL: '1G', HEAP_BYTES_MAX: '512M' })).toEqual([
    'BLOCKFERRY_HEAP_BYTES_INITIAL with BLOCKFERRY_HEAP_BYTES_MAX',
  ])
})
