import { type ReplicationLog, topicNames } from '@blockferry/replication-log'
import { expect, test } from 'vitest'
import { started, writeSome } from '../testing/shipping-bench.ts'
import { seededRandom, World } from '../testing/world.ts'
import { KafkaLink } from './kafka-link.ts'
import { localBell } from './bell.ts'

/** A link whose clients do nothing but tell that they were closed. */
function openLink() {
  const closed: number[] = []
  let made = 0
  const connect = async (): Promise<ReplicationLog> => {
    made += 1
    const number = made
    const client = { ensureTopics: async () => {}, close: async () => void closed.push(number) }
    return client as unknown as ReplicationLog
  }
  const world = new World(1)
  const unused = (): never => expect.unreachable()
  const deps = {
    clock: world.clock({ alive: true }),
    random: seededRandom(1),
    bell: localBell(),
    connect,
    openSpool: unused,
    listener: {
      shipped: unused,
      received: unused,
      kafka: unused,
      resync: unused,
      skew: unused,
      trouble: unused,
    },
  }
  const options = {
    agentId: 'a',
    site: 'site-a',
    peerSite: 'site-b',
    partitions: 1,
    batchBytesMax: 1,
    lingerMs: 0,
  }
  return { closed, link: new KafkaLink(deps, options) }
}

test('a client with an error is closed when its last borrower gives it back; who asks meanwhile gets a new one (KL1)', async () => {
  const { closed, link } = openLink()
  const [lane, neighbour] = await Promise.all([link.borrow(), link.borrow()])
  expect(lane.log).toBe(neighbour.log)
  link.retire(lane.log)
  link.retire(lane.log)
  expect(link.isCurrent(neighbour.log)).toBe(false)
  const late = await link.borrow()
  expect(late.log).not.toBe(lane.log)
  await lane[Symbol.asyncDispose]()
  expect(closed).toEqual([])
  await neighbour[Symbol.asyncDispose]()
  expect(closed).toEqual([1])
  await late[Symbol.asyncDispose]()
  expect(closed).toEqual([1])
  expect((await link.borrow()).log).toBe(late.log)
})

test('closing the link closes every client once, lent or not, with an error or without', async () => {
  const { closed, link } = openLink()
  const first = await link.borrow()
  link.retire(first.log)
  const second = await link.borrow()
  await link.close()
  expect(closed).toEqual([1, 2])
  await first[Symbol.asyncDispose]()
  await second[Symbol.asyncDispose]()
  expect(closed).toEqual([1, 2])
  await expect(link.borrow()).rejects.toMatchObject({ code: 'KAFKA_UNREACHABLE' })
})

test('a partition that Kafka refuses keeps no other partition from its client (K6)', async () => {
  const bench = await started(20, ['vda', 'vdb'])
  const [refused = -1, healthy = -1] = ['vda', 'vdb'].map((diskId) => bench.kafkaPartitionOf(diskId))
  expect(refused).not.toBe(healthy)
  const failuresOf = (kafkaPartition: number) => bench.shipper?.figures.get(kafkaPartition)?.failures ?? 0
  const before = failuresOf(healthy)
  for (let round = 0; round < 12; round += 1) {
    bench.cluster.failNextProduce({ topic: topicNames.writes, kafkaPartition: refused }, 'requestLost')
    await Promise.all([writeSome(bench, 'vda', 2), writeSome(bench, 'vdb', 4)])
    expect(bench.disk('vdb').status().state).toBe('STREAMING')
  }
  expect(failuresOf(refused)).toBeGreaterThan(3)
  expect(failuresOf(healthy)).toBe(before)
  for (const diskId of ['vda', 'vdb']) {
    await bench.untilStreaming(diskId)
    await bench.untilShipped(diskId)
    expect(bench.replay(diskId).image.equals(bench.source(diskId))).toBe(true)
  }
  await bench.world.settle(bench.world.clock(bench.life).sleep(2_000))
  expect(bench.cluster.openClients('tap')).toBe(1)
})
