import { assert } from '@blockferry/runtime'
import { topicNames } from '@blockferry/replication-log'
import { encodeHeartbeat } from '@blockferry/schemas'
import { describe, expect, test } from 'vitest'
import { firstGeneration, started, writeSome } from '../testing/shipping-bench.ts'

describe('what should not be there', () => {
  const foreign = (): Buffer =>
    encodeHeartbeat({
      agentId: 'agent',
      site: 'site-b',
      sourceTimeMs: 1,
      stamp: { agentId: 'agent', counter: 1 },
      clockSkew: null,
      disks: [],
      resumeInputOffset: null,
    })

  test('a request that is none, or cannot be read, is passed over; the next one is heard', async () => {
    const bench = await started(14)
    await bench.mirrored('requests', foreign())
    await bench.mirrored('requests', Buffer.from('C30100', 'hex'))
    await bench.request({ kind: 'resync', diskId: 'vda', expectedGeneration: 1, fromSequence: 1 })
    await bench.until(() => bench.disk('vda').status().position?.generation === 2, 'a new generation')
    await bench.untilStreaming('vda')
    await bench.untilShipped('vda')
  })

  test.each(['disks', 'positions'] as const)(
    'a record of %s that cannot be read stops no stream, but no generation is begun over it',
    async (topic) => {
      const bench = await started(15)
      await bench.mirrored(topic, topic === 'disks' ? foreign() : Buffer.from('C30100', 'hex'))
      await writeSome(bench, 'vda', 10)
      await bench.world.settle(bench.world.clock(bench.life).sleep(5_000))
      await bench.untilShipped('vda')
      expect(bench.disk('vda').status().state).toBe('STREAMING')
      const { shipper } = bench
      assert(shipper !== null, 'the agent runs')
      const minted = shipper.mint(firstGeneration)
      await expect(bench.world.settle(minted, 'minting')).rejects.toThrow(/cannot be read/)
    },
  )

  test('a re-send of a generation that the spool never held leads to a new one; the stream does not stop', async () => {
    const bench = await started(16)
    await writeSome(bench, 'vda', 5)
    await bench.request({ kind: 'resend', diskId: 'vda', expectedGeneration: 7, fromSequence: 3 })
    await bench.until(() => (bench.disk('vda').status().position?.generation ?? 0) > 1, 'a new generation')
    await bench.untilStreaming('vda')
    await writeSome(bench, 'vda', 5)
    await bench.untilShipped('vda')
    expect(bench.replay('vda').image.equals(bench.source('vda'))).toBe(true)
  })

  test('a re-send out of a spool that rotted leads to a new generation, not to the end of the agent', async () => {
    const bench = await started(17)
    await writeSome(bench, 'vda', 5)
    await bench.untilShipped('vda')
    const { spool } = bench.media('vda')
    const [name = ''] = await spool.open().list()
    spool.mediumOf(name).flipBit(200, 1)
    await bench.request({ kind: 'resend', diskId: 'vda', expectedGeneration: 1, fromSequence: 1 })
    await bench.until(() => bench.disk('vda').status().position?.generation === 2, 'a new generation')
    await bench.untilStreaming('vda')
    await bench.untilShipped('vda')
    expect(bench.replay('vda').image.equals(bench.source('vda'))).toBe(true)
  })
})

test('a re-send whose first message Kafka refuses is tried again as the re-send it is', async () => {
  const bench = await started(18)
  await writeSome(bench, 'vda', 20)
  await bench.untilShipped('vda')
  for (const kafkaPartition of [0, 1]) {
    bench.cluster.failNextProduce({ topic: topicNames.writes, kafkaPartition }, 'requestLost')
  }
  await bench.request({ kind: 'resend', diskId: 'vda', expectedGeneration: 1, fromSequence: 5 })
  await bench.until(() => bench.groups('vda').some(({ resend }) => resend), 'a re-send')
  expect(bench.groups('vda').find(({ resend }) => resend)?.firstSequence).toBe(5)
  await bench.untilShipped('vda')
})

test('a request of a target whose clock is behind is heard: it expires by that clock', async () => {
  const bench = await started(19)
  const nowMs = 1_700_000_000_000 + bench.world.nowMs
  const behindMs = 600_000
  await bench.report({
    diskId: 'vda',
    received: bench.disk('vda').status().position,
    reportedAtMs: Math.floor(nowMs - behindMs + 2),
    echo: { sourceTimeMs: Math.floor(nowMs - 5), arrivedAtMs: Math.floor(nowMs - behindMs + 1) },
  })
  await bench.until(() => bench.agent?.clockSkew !== null, 'the skew')
  const expiresAtMs = Math.floor(nowMs - behindMs + 60_000)
  await bench.request({
    kind: 'resync',
    diskId: 'vda',
    expectedGeneration: 1,
    fromSequence: 1,
    createdAtMs: expiresAtMs - 60_000,
    expiresAtMs,
  })
  await bench.until(() => bench.disk('vda').status().position?.generation === 2, 'a new generation')
})

describe('what the target asked for, or received, before the disk was open', () => {
  test.each(['resync', 'resend'] as const)('a %s is heard once the disk is there', async (kind) => {
    const bench = await started(21)
    await writeSome(bench, 'vda', 20)
    await bench.untilShipped('vda')
    await bench.kill()
    const sent = bench.groups('vda').length
    bench.sourceAway = true
    await bench.start()
    await bench.request({ kind, diskId: 'vda', expectedGeneration: 1, fromSequence: 5 })
    await bench.world.settle(bench.world.clock(bench.life).sleep(5_000))
    expect(bench.agent?.served.size).toBe(0)
    bench.sourceAway = false
    if (kind === 'resync') {
      await bench.until(
        () => bench.agent?.served.get('vda')?.status().position?.generation === 2,
        'generation 2',
      )
    } else {
      await bench.until(
        () =>
          bench
            .groups('vda')
            .slice(sent)
            .some(({ resend }) => resend),
        'a re-send',
      )
    }
    await bench.untilStreaming('vda')
    await bench.untilShipped('vda')
  })

  test('a request that expired meanwhile is not', async () => {
    const bench = await started(22)
    await bench.kill()
    const nowMs = 1_700_000_000_000 + bench.world.nowMs
    const request = { kind: 'resync', diskId: 'vda', expectedGeneration: 1, fromSequence: 1 } as const
    bench.sourceAway = true
    await bench.start()
    await bench.request({ ...request, createdAtMs: nowMs, expiresAtMs: nowMs + 3_000 })
    await bench.world.settle(bench.world.clock(bench.life).sleep(5_000))
    bench.sourceAway = false
    await bench.until(() => bench.agent?.served.size === 1, 'served')
    await bench.world.settle(bench.world.clock(bench.life).sleep(5_000))
    expect(bench.disk('vda').status()).toMatchObject({ state: 'STREAMING', position: { generation: 1 } })
  })

  test('its received position is known at once', async () => {
    const bench = await started(23)
    const { position } = bench.disk('vda').status()
    await bench.kill()
    bench.sourceAway = true
    await bench.start()
    await bench.report({ diskId: 'vda', received: position })
    await bench.world.settle(bench.world.clock(bench.life).sleep(5_000))
    bench.sourceAway = false
    await bench.until(() => bench.agent?.served.size === 1, 'served')
    expect(bench.disk('vda').status().received).toEqual(position)
  })
})
