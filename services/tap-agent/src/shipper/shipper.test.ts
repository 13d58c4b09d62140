import { KiB } from '@blockferry/runtime'
import { topicNames } from '@blockferry/replication-log'
import { decodeRecord } from '@blockferry/schemas'
import { describe, expect, test } from 'vitest'
import { AgentBench } from '../testing/agent-bench.ts'
import { pattern } from '../testing/disk-bench.ts'
import { firstGeneration, started, writeSome } from '../testing/shipping-bench.ts'

const seeds = Array.from(
  { length: process.env['BLOCKFERRY_TEST_COUNTS'] === 'long' ? 200 : 12 },
  (_, at) => at + 1,
)

describe('what is shipped', () => {
  test.each(seeds)('is the disk, for two disks at once (seed %i)', async (seed) => {
    const bench = await started(seed, ['vda', 'vdb'])
    await writeSome(bench, 'vda', 25)
    await writeSome(bench, 'vdb', 25)
    for (const diskId of ['vda', 'vdb']) {
      await bench.untilShipped(diskId)
      expect(bench.replay(diskId).image.equals(bench.source(diskId))).toBe(true)
    }
  })

  test.each(seeds)('is whole after produces fail in every way (seed %i)', async (seed) => {
    const bench = await started(seed)
    for (const failure of ['acknowledgementLost', 'requestLost', 'acknowledgementLostThenRetried'] as const) {
      for (const kafkaPartition of [0, 1]) {
        bench.cluster.failNextProduce({ topic: topicNames.writes, kafkaPartition }, failure)
      }
      await writeSome(bench, 'vda', 10)
    }
    await bench.untilShipped('vda')
    await bench.untilStreaming('vda')
    const { image } = bench.replay('vda')
    expect(image.equals(bench.source('vda'))).toBe(true)
  })

  test.each(seeds)('is whole after kills of the agent (seed %i)', async (seed) => {
    const bench = await started(seed)
    for (let round = 0; round < 3; round += 1) {
      await writeSome(bench, 'vda', 6)
      bench
        .disk('vda')
        .path.change({ kind: 'write', byteOffset: 0, data: pattern(8192, round) }, { fua: false })
        .catch(() => {})
      await bench.world.run(bench.world.random.below(80))
      await bench.kill()
      await bench.start()
    }
    await bench.untilStreaming('vda')
    await bench.untilShipped('vda')
    const { end, image } = bench.replay('vda')
    expect(end?.generation).toBe(1)
    expect(image.equals(bench.source('vda'))).toBe(true)
  })

  test('waits in order while Kafka is away, shown as SPOOLING, and goes by itself afterwards', async () => {
    const bench = await started(5)
    bench.cluster.setAvailable(false)
    await writeSome(bench, 'vda', 10)
    await bench.until(() => bench.disk('vda').status().state === 'SPOOLING', 'SPOOLING')
    expect(bench.disk('vda').status().code).toMatch(/^KAFKA_/)
    bench.cluster.setAvailable(true)
    await bench.untilStreaming('vda')
    await bench.untilShipped('vda')
    expect(bench.replay('vda').image.equals(bench.source('vda'))).toBe(true)
  })

  test('ends a group at each mark', async () => {
    const bench = await started(6)
    const write = (byteOffset: number) =>
      bench.disk('vda').path.change({ kind: 'write', byteOffset, data: pattern(512, 1) }, { fua: false })
    for (const name of ['first', 'second']) {
      // In one tick, so that one frame holds the mark in its middle.
      const cut = () => bench.agent?.cutNow('vda', { name, requestId: null })
      await bench.world.settle(Promise.all([write(0), cut(), write(512)]))
    }
    await bench.untilShipped('vda')
    const points = bench.groups('vda').filter(({ events }) => events.at(-1)?.kind === 'recoveryPoint')
    expect(points.length).toBeGreaterThanOrEqual(2)
    expect(bench.replay('vda').image.equals(bench.source('vda'))).toBe(true)
  })
})

describe('a new disk', () => {
  test('serves its guest before Kafka answers, and is synchronised when it does', async () => {
    const bench = new AgentBench(7, { diskIds: ['vda'] })
    bench.cluster.setAvailable(false)
    await bench.start()
    await writeSome(bench, 'vda', 10)
    expect(bench.disk('vda').status()).toMatchObject({
      state: 'AHEAD',
      code: 'AWAITING_KAFKA',
      position: null,
    })
    bench.cluster.setAvailable(true)
    await bench.untilStreaming('vda')
    await bench.untilShipped('vda')
    expect(bench.replay('vda').image.equals(bench.source('vda'))).toBe(true)
  })

  test('has its ownership record in Kafka before its first event, and the least loaded partition', async () => {
    const bench = await started(8, ['vda', 'vdb'])
    const kinds = bench.cluster
      .records({ topic: topicNames.disks, kafkaPartition: 0 })
      .map(({ value }) => decodeRecord(value))
    const descriptors = kinds.flatMap((each) => (each.kind === 'DiskDescriptor' ? [each.record] : []))
    expect(descriptors.map(({ kafkaPartition }) => kafkaPartition).toSorted((a, b) => a - b)).toEqual([0, 1])
    for (const diskId of ['vda', 'vdb']) {
      await bench.untilShipped(diskId)
      const [first] = bench.groups(diskId)
      const owned = kinds.some(
        (each) => each.kind === 'Ownership' && each.record.generation.id === first?.generation.id,
      )
      expect(owned).toBe(true)
    }
  })

  test('is not shipped under a generation whose ownership record Kafka did not take', async () => {
    const bench = new AgentBench(14, { diskIds: ['vda'] })
    bench.cluster.failNextProduce({ topic: topicNames.disks, kafkaPartition: 0 }, 'requestLost')
    await bench.start()
    await bench.untilStreaming('vda')
    await bench.untilShipped('vda')
    const records = bench.cluster.records({ topic: topicNames.disks, kafkaPartition: 0 })
    const owned = records
      .map(({ value }) => decodeRecord(value))
      .flatMap((each) => (each.kind === 'Ownership' ? [each.record.generation.id] : []))
    for (const { generation } of bench.groups('vda')) expect(owned).toContain(generation.id)
  })

  test('takes a number above the highest the target has seen', async () => {
    const bench = new AgentBench(9, { diskIds: ['vda'] })
    await bench.makeTopics()
    const received = { generation: 41, generationId: 'a'.repeat(32), sequence: 7, chain: 1 }
    await bench.report({ diskId: 'vda', received })
    bench.cluster.setAvailable(false)
    await bench.start()
    bench.cluster.setAvailable(true)
    const minted = await bench.world.settle(bench.shipper?.mint(firstGeneration) ?? expect.fail(), 'minting')
    expect(minted.generation.number).toBe(42)
  })
})

describe('what the target asks for', () => {
  test('is sent again from exactly there, flagged, while the spool holds it', async () => {
    const bench = await started(10)
    await writeSome(bench, 'vda', 20)
    await bench.untilShipped('vda')
    const fromSequence = 5
    await bench.request({ kind: 'resend', diskId: 'vda', expectedGeneration: 1, fromSequence })
    await bench.until(() => bench.groups('vda').some(({ resend }) => resend), 'a re-send')
    await bench.untilShipped('vda')
    const again = bench.groups('vda').find(({ resend }) => resend)
    expect(again?.firstSequence).toBe(fromSequence)
    const flags = bench.groups('vda').filter(({ resend }) => resend)
    expect(flags).toHaveLength(1)
    expect(bench.replay('vda').image.equals(bench.source('vda'))).toBe(true)
  })

  test('is a new generation when the spool no longer holds it', async () => {
    const bench = await started(11)
    for (let round = 0; round < 40; round += 1) {
      const data = pattern(64 * KiB, round)
      await bench.world.settle(
        bench.disk('vda').path.change({ kind: 'write', byteOffset: 0, data }, { fua: false }),
      )
    }
    await bench.untilShipped('vda')
    const { position } = bench.disk('vda').status()
    await bench.report({ diskId: 'vda', received: position })
    await bench.until(() => bench.disk('vda').status().spoolBytes === 512 * KiB, 'segments deleted')
    await bench.request({ kind: 'resend', diskId: 'vda', expectedGeneration: 1, fromSequence: 2 })
    await bench.until(() => bench.disk('vda').status().position?.generation === 2, 'a new generation')
    await bench.untilStreaming('vda')
    await bench.untilShipped('vda')
    expect(bench.replay('vda').image.equals(bench.source('vda'))).toBe(true)
  })

  test('is ignored when it has expired, names an older generation, or was answered already', async () => {
    const bench = await started(12)
    await bench.request({ kind: 'resync', diskId: 'vda', expectedGeneration: 1, fromSequence: 1 })
    await bench.until(() => bench.disk('vda').status().position?.generation === 2, 'a new generation')
    await bench.untilStreaming('vda')
    await bench.request({ kind: 'resync', diskId: 'vda', expectedGeneration: 1, fromSequence: 1 })
    await bench.kill()
    await bench.start()
    await bench.world.settle(bench.world.clock(bench.life).sleep(5_000))
    expect(bench.disk('vda').status().position?.generation).toBe(2)
  })
})

test('a heartbeat goes each second to each partition that has a disk, with what is spooled', async () => {
  const bench = await started(13, ['vda', 'vdb'])
  await bench.world.settle(bench.world.clock(bench.life).sleep(5_000))
  const beats = [0, 1].map((kafkaPartition) =>
    bench.cluster
      .records({ topic: topicNames.writes, kafkaPartition })
      .map(({ value }) => decodeRecord(value))
      .flatMap((each) => (each.kind === 'Heartbeat' ? [each.record] : [])),
  )
  for (const partition of beats) {
    expect(partition.length).toBeGreaterThanOrEqual(4)
    expect(partition.at(-1)?.disks).toHaveLength(1)
    expect(partition.at(-1)?.disks[0]).toMatchObject({ state: 'STREAMING', code: null, spooledEvents: 0 })
    const times = partition.map(({ disks }) => disks[0]?.consistentAsOfMs ?? 0)
    expect(times).toEqual(times.toSorted((a, b) => a - b))
  }
})
