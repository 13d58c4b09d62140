import { rangeLockOutstandingMax } from '@blockferry/disk-stream'
import { InFlightBudget, requestBytesMin } from '@blockferry/nbd'
import { ConfigFault, parseConfig } from '@blockferry/runtime/service'
import { describe, expect, test } from 'vitest'
import { options, rules } from './config.ts'

const good = {
  BLOCKFERRY_KAFKA_BROKERS: 'kafka-a:9092',
  BLOCKFERRY_STATE_DIRECTORY: '/state',
  BLOCKFERRY_DISKS: 'id=vda,source=/disks/vda.raw,size=1G',
  BLOCKFERRY_NBD_LISTEN: '0.0.0.0:10809',
  BLOCKFERRY_HTTP_LISTEN: '0.0.0.0:8080',
}

function faultsOf(env: Readonly<Record<string, string>>): readonly string[] {
  try {
    parseConfig({ service: 'tap-agent', options, rules, argv: [], env: { ...good, ...env } })
    return []
  } catch (error) {
    if (error instanceof ConfigFault) return error.faults.map(({ expected, name }) => `${name}: ${expected}`)
    throw error
  }
}

describe('the configuration of the tap agent', () => {
  test('of the images is accepted', () => {
    expect(faultsOf({})).toEqual([])
  })

  test('lists every fault at once, contradictory settings among them', () => {
    const faults = faultsOf({
      BLOCKFERRY_KAFKA_BROKERS: '',
      BLOCKFERRY_SITE: 'site-b',
      BLOCKFERRY_NBD_LISTEN: '0.0.0.0:8080',
      BLOCKFERRY_DISKS: 'id=vda,source=/disks/a;id=vda,source=/disks/a,size=7',
      BLOCKFERRY_CUT_INTERVAL_MS: '-1',
    })
    expect(faults.toSorted()).toEqual([
      '--kafka-brokers (BLOCKFERRY_KAFKA_BROKERS): a list of broker addresses HOST:PORT separated by ",", of at least 1 items',
      'BLOCKFERRY_CUT_INTERVAL_MS: an integer from 0 to 3600000',
      'BLOCKFERRY_DISKS: a size in bytes that is a multiple of 512: 1G, 512M',
      'BLOCKFERRY_NBD_LISTEN with BLOCKFERRY_HTTP_LISTEN: two different ports',
      'BLOCKFERRY_SITE with --peer-site (BLOCKFERRY_PEER_SITE): two different names',
    ])
  })

  test('refuses a disk or a source twice', () => {
    const faults = faultsOf({ BLOCKFERRY_DISKS: 'id=vda,source=/a;id=vda,source=/b;id=vdb,source=/b' })
    expect(faults).toEqual(['BLOCKFERRY_DISKS: each id once', 'BLOCKFERRY_DISKS: each source once'])
  })

  test('refuses an agent that nobody can reach', () => {
    expect(faultsOf({ BLOCKFERRY_NBD_LISTEN: '' })).toEqual([
      '--nbd-socket (BLOCKFERRY_NBD_SOCKET) with --nbd-listen (BLOCKFERRY_NBD_LISTEN): at least one of them, else nobody can reach the disks',
    ])
    expect(faultsOf({ BLOCKFERRY_NBD_LISTEN: '', BLOCKFERRY_NBD_SOCKET: '/run/nbd.sock' })).toEqual([])
  })

  test('refuses a site name that topics cannot have', () => {
    expect(faultsOf({ BLOCKFERRY_SITE: 'site a' })).toHaveLength(1)
  })
})

/** The lane's request, the full sync's extent, and the read-backs of writes that failed. */
const otherHoldersMax = 16

test('however large the in-flight budget may be set, one disk’s requests fit its extent lock (T1, G9)', () => {
  const budget = new InFlightBudget(options.nbdInFlightBytesMax.max)
  const account = { usedBytes: 0 }
  let requests = 0
  while (budget.tryAdmit(account, requestBytesMin) === 'share') requests += 1
  expect(requests).toBeGreaterThan(1_000)
  expect(requests + otherHoldersMax).toBeLessThan(rangeLockOutstandingMax)
})
