import { describe, expect, test } from 'vitest'
import type { ReplicationLog, TopicPartition } from '../replication-log.ts'
import { type ConformanceHarness, fetchOf, freshTopic, numbered, specOf } from './harness.ts'

type Opened = () => ConformanceHarness

async function openTopic(
  opened: Opened,
  partitions = 1,
): Promise<{ log: ReplicationLog; partitionsOf: readonly TopicPartition[] }> {
  const log = await opened().connect('conformance')
  const topic = freshTopic()
  await log.ensureTopics([specOf(topic, partitions)])
  return {
    log,
    partitionsOf: Array.from({ length: partitions }, (_, kafkaPartition) => ({ topic, kafkaPartition })),
  }
}

function partitionAt(partitions: readonly TopicPartition[], index: number): TopicPartition {
  const partition = partitions[index]
  if (partition === undefined) throw new Error(`no partition ${index}`)
  return partition
}

export function fetchClaims(opened: Opened): void {
  describe('fetch', () => {
    positionClaims(opened)
    limitClaims(opened)
    failureClaims(opened)
  })
  describe('offsets', () => offsetClaims(opened))
}

function positionClaims(opened: Opened): void {
  test('starts at the offset asked, also in the midst of a batch', async () => {
    const { log, partitionsOf } = await openTopic(opened)
    await using _ = log
    const partition = partitionAt(partitionsOf, 0)
    await log.produce({ ...partition, records: numbered(0, 10) })
    const [outcome] = await log.fetch(fetchOf([{ ...partition, kafkaOffset: 4n }]))
    expect(outcome).toMatchObject({ kind: 'records', nextKafkaOffset: 10n, highWatermark: 10n })
    expect(outcome?.kind === 'records' && outcome.records.map(({ kafkaOffset }) => kafkaOffset)).toEqual([
      4n,
      5n,
      6n,
      7n,
      8n,
      9n,
    ])
  })

  test('keeps key, value and time of a record, and what it returned stays as it was', async () => {
    const { log, partitionsOf } = await openTopic(opened)
    await using _ = log
    const partition = partitionAt(partitionsOf, 0)
    const value = Buffer.from([0, 255, 1, 254])
    const beforeMs = Date.now()
    await log.produce({ ...partition, records: [{ key: Buffer.from('disk-ä'), value }] })
    value.fill(9)
    const [outcome] = await log.fetch(fetchOf([{ ...partition, kafkaOffset: 0n }]))
    const record = outcome?.kind === 'records' ? outcome.records[0] : undefined
    await log.produce({ ...partition, records: numbered(0, 50) })
    await log.fetch(fetchOf([{ ...partition, kafkaOffset: 1n }]))
    expect(record?.key?.toString()).toBe('disk-ä')
    expect(record?.value).toEqual(Buffer.from([0, 255, 1, 254]))
    expect(Math.abs((record?.timestampMs ?? 0) - beforeMs)).toBeLessThan(60_000)
  })

  test('waits at the end for the next record, and no longer than asked', async () => {
    const { log, partitionsOf } = await openTopic(opened)
    await using _ = log
    const partition = partitionAt(partitionsOf, 0)
    const idle = await log.fetch(fetchOf([{ ...partition, kafkaOffset: 0n }], 50))
    expect(idle).toMatchObject([{ kind: 'records', records: [], nextKafkaOffset: 0n }])
    const waiting = log.fetch(fetchOf([{ ...partition, kafkaOffset: 0n }], 20_000))
    await log.produce({ ...partition, records: numbered(0, 1) })
    expect(await waiting).toMatchObject([{ kind: 'records', nextKafkaOffset: 1n }])
  })

  test('ends at once when its signal aborts', async () => {
    const { log, partitionsOf } = await openTopic(opened)
    await using _ = log
    const position = { ...partitionAt(partitionsOf, 0), kafkaOffset: 0n }
    const aborting = log.fetch(fetchOf([position], 60_000), AbortSignal.timeout(100))
    await expect(aborting).rejects.toMatchObject({ name: 'TimeoutError' })
    expect(await log.fetch(fetchOf([position], 10))).toMatchObject([{ kind: 'records' }])
  })
}

function limitClaims(opened: Opened): void {
  test('returns a record that is larger than every limit of the fetch', async () => {
    const { log, partitionsOf } = await openTopic(opened)
    await using _ = log
    const partition = partitionAt(partitionsOf, 0)
    await log.produce({ ...partition, records: [{ key: Buffer.from('key'), value: Buffer.alloc(500_000) }] })
    const [outcome] = await log.fetch({
      positions: [{ ...partition, kafkaOffset: 0n }],
      waitMsMax: 2_000,
      partitionBytesMax: 1_000,
      bytesMax: 1_000,
    })
    expect(outcome).toMatchObject({ kind: 'records', nextKafkaOffset: 1n })
  })

  test('starves no partition however small its byte limit', async () => {
    const { log, partitionsOf } = await openTopic(opened, 3)
    await using _ = log
    const next = new Map<TopicPartition, bigint>()
    for (const partition of partitionsOf) {
      next.set(partition, 0n)
      for (let batch = 0; batch < 8; batch += 1) {
        const value = Buffer.alloc(10_000)
        await log.produce({ ...partition, records: [{ key: Buffer.from('key'), value }] })
      }
    }
    for (let fetches = 0; fetches < 6; fetches += 1) {
      const positions = partitionsOf.map((partition) => ({
        ...partition,
        kafkaOffset: next.get(partition) ?? 0n,
      }))
      const outcomes = await log.fetch({
        positions,
        waitMsMax: 20,
        partitionBytesMax: 5_000,
        bytesMax: 5_000,
      })
      for (const [index, outcome] of outcomes.entries()) {
        if (outcome.kind === 'records') next.set(partitionAt(partitionsOf, index), outcome.nextKafkaOffset)
      }
    }
    expect([...next.values()].every((kafkaOffset) => kafkaOffset > 0n)).toBe(true)
  })
}

function failureClaims(opened: Opened): void {
  test('hides no records behind the errors of other partitions, and answers in the order asked (L4)', async () => {
    const { log, partitionsOf } = await openTopic(opened, 2)
    await using _ = log
    const [outOfRange, good] = [partitionAt(partitionsOf, 0), partitionAt(partitionsOf, 1)]
    await log.produce({ ...outOfRange, records: numbered(0, 4) })
    await log.produce({ ...good, records: numbered(0, 3) })
    await log.deleteBefore(outOfRange, 2n)
    const unknown = { topic: freshTopic(), kafkaPartition: 0 }
    const outcomes = await log.fetch(
      fetchOf([
        { ...outOfRange, kafkaOffset: 0n },
        { ...unknown, kafkaOffset: 0n },
        { ...good, kafkaOffset: 0n },
      ]),
    )
    expect(outcomes).toMatchObject([
      { ...outOfRange, kind: 'outOfRange', earliest: 2n, latest: 4n },
      { ...unknown, kind: 'failed', code: 'TOPIC_UNKNOWN' },
      { ...good, kind: 'records', nextKafkaOffset: 3n },
    ])
  })

  test('says so for a position beyond the end', async () => {
    const { log, partitionsOf } = await openTopic(opened)
    await using _ = log
    const partition = partitionAt(partitionsOf, 0)
    await log.produce({ ...partition, records: numbered(0, 2) })
    expect(await log.fetch(fetchOf([{ ...partition, kafkaOffset: 9n }]))).toMatchObject([
      { kind: 'outOfRange', earliest: 0n, latest: 2n },
    ])
  })

  test('reports absent brokers in each outcome and reads on when they are back', async () => {
    const { log, partitionsOf } = await openTopic(opened)
    await using _ = log
    const partition = partitionAt(partitionsOf, 0)
    await log.produce({ ...partition, records: numbered(0, 3) })
    const waiting = log.fetch(fetchOf([{ ...partition, kafkaOffset: 3n }], 500))
    await opened().killBrokers()
    const during = await waiting
    const absent = await log.fetch(fetchOf([{ ...partition, kafkaOffset: 0n }], 300))
    const returning = log.fetch(fetchOf([{ ...partition, kafkaOffset: 0n }], 90_000))
    await opened().startBrokers()
    expect(during).toHaveLength(1)
    expect(absent).toMatchObject([{ kind: 'failed', code: 'KAFKA_UNREACHABLE' }])
    const returned = await returning
    expect(returned.map((outcome) => (outcome.kind === 'failed' ? outcome.cause : null))).toEqual([null])
    expect(returned).toMatchObject([{ kind: 'records', nextKafkaOffset: 3n }])
  }, 150_000)
}

function offsetClaims(opened: Opened): void {
  test('are found by time', async () => {
    const { log, partitionsOf } = await openTopic(opened)
    await using _ = log
    const partition = partitionAt(partitionsOf, 0)
    await log.produce({ ...partition, records: numbered(0, 1) })
    const [first] = await log.fetch(fetchOf([{ ...partition, kafkaOffset: 0n }]))
    const firstMs = first?.kind === 'records' ? (first.records[0]?.timestampMs ?? 0) : 0
    await expect.poll(() => Date.now()).toBeGreaterThan(firstMs + 2)
    await log.produce({ ...partition, records: numbered(1, 2) })
    expect(await log.offsetAtTime(partition, firstMs - 1_000)).toBe(0n)
    expect(await log.offsetAtTime(partition, firstMs + 1)).toBe(1n)
    expect(await log.offsetAtTime(partition, Date.now() + 3_600_000)).toBeNull()
  })

  test('before the one given are gone after a delete, and no later one', async () => {
    const { log, partitionsOf } = await openTopic(opened)
    await using _ = log
    const partition = partitionAt(partitionsOf, 0)
    await log.produce({ ...partition, records: numbered(0, 10) })
    expect(await log.offsets(partition)).toEqual({ earliest: 0n, latest: 10n })
    await log.deleteBefore(partition, 6n)
    expect(await log.offsets(partition)).toEqual({ earliest: 6n, latest: 10n })
    await log.deleteBefore(partition, 3n)
    expect(await log.offsets(partition)).toEqual({ earliest: 6n, latest: 10n })
    await expect(log.deleteBefore(partition, 11n)).rejects.toMatchObject({ code: 'KAFKA_REJECTED' })
    expect(await log.offsets(partition)).toEqual({ earliest: 6n, latest: 10n })
  })
}
