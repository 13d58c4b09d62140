import { ConfigFault, parseConfig } from '@blockferry/runtime/service'
import { describe, expect, test } from 'vitest'
import { options, rules, targetPaths } from './config.ts'

const good = {
  BLOCKFERRY_KAFKA_BROKERS: 'kafka-b:9092',
  BLOCKFERRY_STATE_DIRECTORY: '/state',
  BLOCKFERRY_TARGET_DIRECTORY: '/images',
}

function faultsOf(env: Readonly<Record<string, string>>): readonly string[] {
  try {
    parseConfig({ service: 'applier', options, rules, argv: [], env: { ...good, ...env } })
    return []
  } catch (error) {
    if (error instanceof ConfigFault) return error.faults.map(({ name }) => name)
    throw error
  }
}

describe('the configuration of the applier', () => {
  test('of the images is accepted, and so is a journal smaller than the usual share of a disk', () => {
    expect(faultsOf({})).toEqual([])
    expect(faultsOf({ BLOCKFERRY_JOURNAL_BYTES_MAX: '1G' })).toEqual([])
  })

  test.each([
    ['a share larger than the journal', { JOURNAL_BYTES_MAX: '1G', JOURNAL_DISK_BYTES_MAX: '2G' }],
    ['pieces larger than half the journal', { JOURNAL_BYTES_MAX: '128M', JOURNAL_SEGMENT_BYTES: '65M' }],
    ['no place for any image', { TARGET_DIRECTORY: '' }],
    ['one target for two disks', { DISKS: 'id=a,target=/x;id=b,target=/x' }],
    ['a disk twice', { DISKS: 'id=a,target=/x;id=a,target=/y' }],
    ['one name for both sites', { SITE: 'site-a' }],
  ])('with %s is refused', (_what, settings) => {
    const env = Object.entries(settings).map(([name, value]) => [`BLOCKFERRY_${name}`, value])
    expect(faultsOf(Object.fromEntries(env))).toHaveLength(1)
  })

  test('reads target paths as they are, commas and equals signs too', () => {
    const paths = targetPaths(['id=a,target=/x=1,y', 'id=b,target=/z'])
    expect([...paths]).toEqual([
      ['a', '/x=1,y'],
      ['b', '/z'],
    ])
  })
})
