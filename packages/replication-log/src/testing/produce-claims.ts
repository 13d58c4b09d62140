import { codeOf } from '@blockferry/runtime'
import { describe, expect, test } from 'vitest'
import type { ReplicationLog, TopicPartition } from '../replication-log.ts'
import {
  type ConformanceHarness,
  freshTopic,
  numbered,
  numberedAndPadded,
  readAll,
  specOf,
} from './harness.ts'

type Opened = () => ConformanceHarness

async function openTopic(
  harness: ConformanceHarness,
  impatient = false,
): Promise<{ log: ReplicationLog; partition: TopicPartition }> {
  const log = await harness.connect('conformance', { impatient })
  const topic = freshTopic()
  await log.ensureTopics([specOf(topic)])
  return { log, partition: { topic, kafkaPartition: 0 } }
}

export function produceClaims(opened: Opened): void {
  describe('produce', () => {
    orderClaims(opened)
    refusalClaims(opened)
  })
  describe('produce to brokers that die', () => brokerDeathClaims(opened))
}

function orderClaims(opened: Opened): void {
  test('gives the records of a partition consecutive offsets in the order sent (L1, L3)', async () => {
    const { log, partition } = await openTopic(opened())
    await using _ = log
    const firsts: bigint[] = []
    for (let batch = 0; batch < 20; batch += 1) {
      firsts.push((await log.produce({ ...partition, records: numbered(batch * 10, 10) })).firstKafkaOffset)
    }
    const { numbers, kafkaOffsets } = await readAll(log, partition)
    expect(firsts).toEqual(Array.from({ length: 20 }, (_, batch) => BigInt(batch * 10)))
    expect(numbers).toEqual(Array.from({ length: 200 }, (_, index) => index))
    expect(kafkaOffsets).toEqual(Array.from({ length: 200 }, (_, index) => BigInt(index)))
  })

  test('refuses a second produce to a partition while one is outstanding (L2)', async () => {
    const { log, partition } = await openTopic(opened())
    await using _ = log
    const first = log.produce({ ...partition, records: numbered(0, 1) })
    await expect(log.produce({ ...partition, records: numbered(1, 1) })).rejects.toThrow(/^L2/)
    await first
    await log.produce({ ...partition, records: numbered(1, 1) })
    expect((await readAll(log, partition)).numbers).toEqual([0, 1])
  })

  test('serves several partitions at once', async () => {
    await using log = await opened().connect('conformance')
    const topic = freshTopic()
    await log.ensureTopics([specOf(topic, 3)])
    const partitions = [0, 1, 2].map((kafkaPartition) => ({ topic, kafkaPartition }))
    await Promise.all(
      partitions.map(async (partition) => {
        for (let batch = 0; batch < 5; batch += 1) {
          await log.produce({ ...partition, records: numbered(batch * 3, 3) })
        }
      }),
    )
    for (const partition of partitions) {
      expect((await readAll(log, partition)).numbers).toEqual(Array.from({ length: 15 }, (_, index) => index))
    }
  })

  test('retries the same batch when its answer is lost, so it is there once (L3)', async () => {
    const { log, partition } = await openTopic(opened())
    await using _ = log
    await log.produce({ ...partition, records: numbered(0, 5) })
    opened().loseNextAcknowledgement(partition)
    const { firstKafkaOffset } = await log.produce({ ...partition, records: numbered(5, 5) })
    await log.produce({ ...partition, records: numbered(10, 5) })
    expect(firstKafkaOffset).toBe(5n)
    expect((await readAll(log, partition)).numbers).toEqual(Array.from({ length: 15 }, (_, index) => index))
  })
}

function refusalClaims(opened: Opened): void {
  test('refuses a batch over the limit at once, with its code, and sends the next', async () => {
    const { log, partition } = await openTopic(opened())
    await using _ = log
    await log.produce({ ...partition, records: numbered(0, 1) })
    const huge = [{ key: Buffer.from('key'), value: Buffer.alloc(1_200_000) }]
    await expect(log.produce({ ...partition, records: huge })).rejects.toMatchObject({
      code: 'RECORD_TOO_LARGE',
    })
    await log.produce({ ...partition, records: numbered(1, 1) })
    expect((await readAll(log, partition)).numbers).toEqual([0, 1])
  })

  test('throws TOPIC_UNKNOWN for a topic or partition that is not there', async () => {
    const { log, partition } = await openTopic(opened(), true)
    await using _ = log
    for (const missing of [
      { topic: freshTopic(), kafkaPartition: 0 },
      { ...partition, kafkaPartition: 7 },
    ]) {
      await expect(log.produce({ ...missing, records: numbered(0, 1) })).rejects.toMatchObject({
        code: 'TOPIC_UNKNOWN',
      })
    }
  })

  test('throws LOG_CLOSED once closed', async () => {
    const { log, partition } = await openTopic(opened())
    await log.close()
    await expect(log.produce({ ...partition, records: numbered(0, 1) })).rejects.toMatchObject({
      code: 'LOG_CLOSED',
    })
  })
}

function brokerDeathClaims(opened: Opened): void {
  test('neither loses, reorders nor repeats numbered records across kill -9 and restart (L3)', async () => {
    const { log, partition } = await openTopic(opened())
    await using _ = log
    const acknowledged = new Map<number, bigint>()
    const stopping = new AbortController()
    const producing = (async () => {
      for (let next = 0; !stopping.signal.aborted; next += 7) {
        const { firstKafkaOffset } = await log.produce({ ...partition, records: numbered(next, 7) })
        acknowledged.set(next, firstKafkaOffset)
      }
    })()
    for (let kill = 1; kill <= 2; kill += 1) {
      const before = acknowledged.size
      await expect.poll(() => acknowledged.size, { timeout: 30_000 }).toBeGreaterThan(before + 20)
      await opened().killBrokers()
      await opened().startBrokers()
    }
    const before = acknowledged.size
    await expect.poll(() => acknowledged.size, { timeout: 30_000 }).toBeGreaterThan(before + 20)
    stopping.abort()
    await producing
    const { numbers, kafkaOffsets } = await readAll(log, partition)
    expect(numbers).toEqual(Array.from({ length: acknowledged.size * 7 }, (_, index) => index))
    for (const [number, kafkaOffset] of acknowledged) {
      expect(kafkaOffsets[numbers.indexOf(number)]).toBe(kafkaOffset)
    }
  }, 180_000)

  test('sends again what a broker had in half when it was killed: it is there once, in its place (L3)', async () => {
    const { log, partition } = await openTopic(opened())
    await using _ = log
    await log.produce({ ...partition, records: numbered(0, 5) })
    const killed = opened().killBrokersInNextProduce(partition)
    const large = numberedAndPadded(5, 60, 16_000)
    const produced = log.produce({ ...partition, records: large })
    await killed
    await opened().startBrokers()
    expect((await produced).firstKafkaOffset).toBe(5n)
    await log.produce({ ...partition, records: numbered(65, 5) })
    expect((await readAll(log, partition)).numbers).toEqual(Array.from({ length: 70 }, (_, index) => index))
  }, 120_000)

  test('throws within its deadline while no broker answers, and goes on afterwards in order', async () => {
    const { log, partition } = await openTopic(opened(), true)
    await using _ = log
    await log.produce({ ...partition, records: numbered(0, 3) })
    await opened().killBrokers()
    const failure = await log.produce({ ...partition, records: numbered(3, 3) }).catch(codeOf)
    const aborted = log.produce({ ...partition, records: numbered(3, 3) }, AbortSignal.timeout(20))
    const abortion = await aborted.catch((error: unknown) => (error instanceof Error ? error.name : 'none'))
    await opened().startBrokers()
    expect(['KAFKA_UNREACHABLE', 'KAFKA_TIMEOUT']).toContain(failure)
    expect(abortion).toBe('TimeoutError')
    // At least once: what threw is sent again, until the broker leads the partition again.
    const sendAgain = () => log.produce({ ...partition, records: numbered(3, 3) }).then(() => 'sent', codeOf)
    await expect.poll(sendAgain, { timeout: 30_000 }).toBe('sent')
    const { numbers } = await readAll(log, partition)
    expect([...new Set(numbers)]).toEqual([0, 1, 2, 3, 4, 5])
  }, 120_000)
}
