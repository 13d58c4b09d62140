import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type KafkaClientName,
  connectReplicationLog,
  kafkaClientNames,
  siteTopicSpecs,
} from '@blockferry/replication-log'
import {
  fetchOf,
  freshTopic,
  numbered,
  readAll,
  specOf,
} from '@blockferry/replication-log/conformance-harness'
import { replicationLogConformance } from '@blockferry/replication-log/conformance'
import { codeOf } from '@blockferry/runtime'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type KafkaBroker, startKafkaBroker } from '../support/kafka-broker.ts'
import { kafkaHarness } from '../support/kafka-harness.ts'
import { KafkaProxy } from '../support/kafka-proxy.ts'
import { describeWith, requireKafka } from '../support/requirements.ts'

/** A broker behind a proxy: the proxy is what the broker tells clients to connect to. */
async function openCluster(): Promise<{
  broker: KafkaBroker
  proxy: KafkaProxy
  dispose: () => Promise<void>
}> {
  const directory = await mkdtemp(join(tmpdir(), 'blockferry-kafka-'))
  const proxy = await KafkaProxy.listen()
  const broker = await startKafkaBroker({
    directory,
    advertisedPort: proxy.port,
    onPort: proxy.forwardTo.bind(proxy),
  })
  return {
    broker,
    proxy,
    dispose: async () => {
      await broker[Symbol.asyncDispose]()
      await proxy[Symbol.asyncDispose]()
      await rm(directory, { recursive: true })
    },
  }
}

/** One cluster for both clients: to start one costs as much as a third of the claims. */
let cluster: Awaited<ReturnType<typeof openCluster>>

describeWith([requireKafka], 'the Kafka log', () => {
  beforeAll(async () => {
    cluster = await openCluster()
  })
  afterAll(() => cluster.dispose())

  describe.each(kafkaClientNames)('over %s', (kafkaClient) => {
    describe('conforms', () =>
      replicationLogConformance(async () => kafkaHarness({ ...cluster, kafkaClient })))
    describe('behind a broker that falls silent', () => silenceClaims(kafkaClient))
  })
})

function silenceClaims(kafkaClient: KafkaClientName): void {
  const connectQuick = (client = kafkaClient) =>
    connectReplicationLog({
      brokers: [`127.0.0.1:${cluster.proxy.port}`],
      clientId: 'quick',
      kafkaClient: client,
      requestTimeoutMs: 400,
      produceDeadlineMs: 1_500,
      controlDeadlineMs: 20_000,
    })

  test('never appends late bytes of a produce that threw behind newer records (P2)', async () => {
    await using log = await connectQuick()
    const partition = { topic: freshTopic(), kafkaPartition: 0 }
    await log.ensureTopics([specOf(partition.topic)])
    await log.produce({ ...partition, records: numbered(0, 5) })
    const held = cluster.proxy.holdProduces()
    await expect(log.produce({ ...partition, records: numbered(5, 5) })).rejects.toMatchObject({
      code: 'KAFKA_TIMEOUT',
    })
    held.stop()
    await log.produce({ ...partition, records: numbered(5, 5) })
    await log.produce({ ...partition, records: numbered(10, 5) })
    expect(held.connections).toBeGreaterThan(1)
    await held.deliver()
    expect((await readAll(log, partition)).numbers).toEqual(Array.from({ length: 15 }, (_, index) => index))
  })

  test('takes records grouped anew after a produce that threw but was appended (P1)', async () => {
    await using log = await connectQuick()
    const partition = { topic: freshTopic(), kafkaPartition: 0 }
    await log.ensureTopics([specOf(partition.topic)])
    await log.produce({ ...partition, records: numbered(0, 5) })
    const answered = cluster.proxy.loseProduceAnswers()
    await expect(log.produce({ ...partition, records: numbered(5, 5) })).rejects.toBeDefined()
    answered()
    await log.produce({ ...partition, records: numbered(5, 3) })
    await log.produce({ ...partition, records: numbered(8, 9) })
    const { numbers } = await readAll(log, partition)
    expect(numbers).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
  })

  test('gives up within its deadlines, and goes on when the broker does', async () => {
    await using log = await connectQuick()
    const partition = { topic: freshTopic(), kafkaPartition: 0 }
    await log.ensureTopics([specOf(partition.topic)])
    for (let round = 0; round < 3; round += 1) {
      const first = round * 10
      await log.produce({ ...partition, records: numbered(first, 5) })
      cluster.broker.pause()
      const startedMs = performance.now()
      const failure = await log.produce({ ...partition, records: numbered(first + 5, 5) }).catch(codeOf)
      const fetched = await log.fetch(fetchOf([{ ...partition, kafkaOffset: 0n }], 100))
      expect(performance.now() - startedMs).toBeLessThan(6_000)
      cluster.broker.resume()
      expect(failure).toBe('KAFKA_TIMEOUT')
      expect(fetched).toMatchObject([{ kind: 'failed', code: 'KAFKA_TIMEOUT' }])
      await produceUntilDone(() => log.produce({ ...partition, records: numbered(first + 5, 5) }))
      await produceUntilDone(() => log.produce({ ...partition, records: numbered(first + 10, 5) }))
    }
    const { numbers } = await readAll(log, partition)
    expect([...new Set(numbers)]).toEqual(Array.from({ length: 35 }, (_, index) => index))
    expect(stepsBackBeyond(numbers, 5)).toEqual([])
  })

  test('takes no record damaged on its way for a good one, and reads it once it comes whole', async () => {
    await using log = await connectQuick()
    const partition = { topic: freshTopic(), kafkaPartition: 0 }
    await log.ensureTopics([specOf(partition.topic)])
    const value = Buffer.from(`marked-${partition.topic}`)
    await log.produce({ ...partition, records: [{ key: Buffer.from('key'), value }] })
    const healed = cluster.proxy.damageAnswersWith(value)
    const damaged = await log.fetch(fetchOf([{ ...partition, kafkaOffset: 0n }], 200))
    healed()
    expect(damaged).toMatchObject([{ kind: 'failed', code: 'RECORD_BATCH_CORRUPT' }])
    const [whole] = await log.fetch(fetchOf([{ ...partition, kafkaOffset: 0n }]))
    expect(whole?.kind === 'records' && whole.records.map((record) => record.value)).toEqual([value])
  })

  test('continues where the other client was, and shares a group with it', async () => {
    const otherClient = kafkaClientNames.find((name) => name !== kafkaClient)
    await using log = await connectQuick()
    await using other = await connectQuick(otherClient)
    const topic = freshTopic()
    const partition = { topic, kafkaPartition: 0 }
    // The same topic id in the same words: an applier's checkpoint holds it.
    expect(await other.ensureTopics([specOf(topic, 2)])).toEqual(await log.ensureTopics([specOf(topic, 2)]))
    await other.produce({ ...partition, records: numbered(0, 5) })
    await log.produce({ ...partition, records: numbered(5, 5) })
    for (const reader of [log, other]) {
      expect((await readAll(reader, partition)).numbers).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    }
    const owned = new Map<string, number>()
    for (const [name, member] of Object.entries({ log, other })) {
      const onAssignment = async (partitions: readonly unknown[]) => void owned.set(name, partitions.length)
      await member.joinGroup({ groupId: `group-of-${topic}`, topics: [topic], onAssignment })
    }
    await expect.poll(() => Object.fromEntries(owned), { timeout: 40_000 }).toEqual({ log: 1, other: 1 })
  })

  test('offers every topic of a site with the limits of the design, unchanged at a second start', async () => {
    await using log = await connectQuick()
    const specs = siteTopicSpecs({ site: 'site-a', peerSite: 'site-b' })
    const created = await log.ensureTopics(specs)
    expect(await log.ensureTopics(specs)).toEqual(created)
    expect(created.map(({ topic, partitions }) => `${topic} ${partitions}`).toSorted()).toEqual([
      'disks 1',
      'positions 1',
      'requests 1',
      'site-b.disks 1',
      'site-b.positions 1',
      'site-b.requests 1',
      'site-b.updates 4',
      'updates 4',
      'writes 4',
    ])
  })
}

/** At least once: what threw is sent again, as every caller does. */
async function produceUntilDone(produce: () => Promise<unknown>): Promise<void> {
  for (let attempts = 0; attempts < 20; attempts += 1) {
    if ((await produce().catch(codeOf)) !== 'KAFKA_TIMEOUT') return
  }
  throw new Error('the broker did not come back')
}

/** Places where a number is further back than one repeated batch explains. */
function stepsBackBeyond(numbers: readonly number[], batch: number): readonly number[] {
  let highest = -1
  return numbers.filter((number) => {
    highest = Math.max(highest, number)
    return highest - number >= batch
  })
}
