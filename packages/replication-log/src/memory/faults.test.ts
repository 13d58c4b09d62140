import type { Clock } from '@blockferry/runtime'
import { describe, expect, test } from 'vitest'
import { nextAfterDamage } from '../damaged-batch.ts'
import type { ReplicationLog } from '../replication-log.ts'
import { fetchOf, numbered, readAll, specOf } from '../testing/harness.ts'
import { type MemoryCluster, type MemoryStepPoint, createMemoryCluster } from './cluster.ts'
import { MemoryMirror, mirrorTopic } from './mirror.ts'

const partition = { topic: 'updates', kafkaPartition: 0 }
const remote = { topic: 'site-a.updates', kafkaPartition: 0 }

/** Time that moves only when somebody sleeps: a wait costs nothing and is exact. */
function steppedClock(): Clock {
  let nowMs = 1_000
  return {
    wallMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: async (delayMs, signal) => {
      await new Promise(setImmediate)
      if (signal?.aborted !== true) nowMs += delayMs
    },
  }
}

async function open(
  topic = partition.topic,
  step?: (point: MemoryStepPoint) => Promise<void>,
): Promise<{ cluster: MemoryCluster; log: ReplicationLog }> {
  const cluster = createMemoryCluster({ clock: steppedClock(), ...(step === undefined ? {} : { step }) })
  const log = cluster.connect({ clientId: 'client' })
  await log.ensureTopics([specOf(topic)])
  return { cluster, log }
}

describe('a fault injected into the memory log', () => {
  test.each([
    ['acknowledgementLost', 'KAFKA_TIMEOUT', [0, 1, 1]],
    ['requestLost', 'KAFKA_TIMEOUT', [0, 1]],
    ['notAuthorized', 'NOT_AUTHORIZED', [0, 1]],
    ['timestampRejected', 'TIMESTAMP_REJECTED', [0, 1]],
  ] as const)('%s throws %s, and the repeat leaves %j', async (failure, code, numbers) => {
    const { cluster, log } = await open()
    await log.produce({ ...partition, records: numbered(0, 1) })
    cluster.failNextProduce(partition, failure)
    await expect(log.produce({ ...partition, records: numbered(1, 1) })).rejects.toMatchObject({ code })
    await log.produce({ ...partition, records: numbered(1, 1) })
    expect((await readAll(log, partition)).numbers).toEqual(numbers)
  })

  test('lets retention outrun a reader', async () => {
    const { cluster, log } = await open()
    await log.produce({ ...partition, records: numbered(0, 5) })
    cluster.truncateBefore(partition, 3n)
    expect(await log.fetch(fetchOf([{ ...partition, kafkaOffset: 1n }]))).toMatchObject([
      { kind: 'outOfRange', earliest: 3n, latest: 5n },
    ])
  })

  test('takes acknowledged records away and gives their offsets out again', async () => {
    const { cluster, log } = await open()
    await log.produce({ ...partition, records: numbered(0, 5) })
    cluster.truncateFrom(partition, 2n)
    expect(await log.produce({ ...partition, records: numbered(9, 1) })).toEqual({ firstKafkaOffset: 2n })
    expect((await readAll(log, partition)).numbers).toEqual([0, 1, 9])
  })

  test('flips bits in a stored value', async () => {
    const { cluster, log } = await open()
    await log.produce({ ...partition, records: numbered(7, 1) })
    cluster.corruptValue(partition, 0n, () => Buffer.from('8'))
    expect((await readAll(log, partition)).numbers).toEqual([8])
  })

  test('damages a stored batch: what stands before it is read, then it fails and says where it ends', async () => {
    const { cluster, log } = await open()
    await log.produce({ ...partition, records: numbered(0, 5) })
    cluster.damageBatch(partition, { from: 2n, to: 4n })
    const [before] = await log.fetch(fetchOf([{ ...partition, kafkaOffset: 0n }]))
    expect(before).toMatchObject({ kind: 'records', nextKafkaOffset: 2n })
    const [at] = await log.fetch(fetchOf([{ ...partition, kafkaOffset: 3n }]))
    expect(at).toMatchObject({ kind: 'failed', code: 'RECORD_BATCH_CORRUPT' })
    expect(at?.kind === 'failed' && nextAfterDamage(at.cause)).toBe(4n)
    const [behind] = await log.fetch(fetchOf([{ ...partition, kafkaOffset: 4n }]))
    expect(behind).toMatchObject({ kind: 'records', nextKafkaOffset: 5n })
  })

  test('ends a crashed client: its operations throw and its partitions go to the others', async () => {
    const { cluster, log } = await open()
    const other = cluster.connect({ clientId: 'other' })
    const owned: number[] = []
    const listen = async (partitions: readonly unknown[]): Promise<void> => void owned.push(partitions.length)
    await log.joinGroup({ groupId: 'g', topics: [partition.topic], onAssignment: async () => undefined })
    await other.joinGroup({ groupId: 'g', topics: [partition.topic], onAssignment: listen })
    await cluster.crashClient('client')
    expect(owned).toEqual([0, 1])
    await expect(log.offsets(partition)).rejects.toMatchObject({ code: 'LOG_CLOSED' })
  })

  test('stops a client between append and acknowledgement', async () => {
    const dying = new Promise<void>(() => undefined)
    const { cluster, log } = await open(partition.topic, (point) =>
      point.operation === 'produce' && point.phase === 'after' ? dying : Promise.resolve(),
    )
    void log.produce({ ...partition, records: numbered(0, 1) })
    await expect.poll(() => cluster.records(partition).length).toBe(1)
  })
})

describe('the memory mirror', () => {
  test('sends again what it had sent, old after new, when it is restarted (K7)', async () => {
    const { cluster: source, log } = await open()
    const { cluster: target, log: targetLog } = await open(remote.topic)
    await log.produce({ ...partition, records: numbered(0, 4) })
    const mirror = mirrorTopic({ source, target, topic: partition.topic, remoteTopic: remote.topic })
    mirror.restart(2)
    await log.produce({ ...partition, records: numbered(4, 1) })
    mirror.copy()
    expect((await readAll(targetLog, remote)).numbers).toEqual([0, 1, 2, 3, 2, 3, 4])
  })

  test('copies nothing while the link is cut, everything after, and skips silently what retention took', async () => {
    const { cluster: source, log } = await open()
    const { cluster: target, log: targetLog } = await open(remote.topic)
    const flows = [{ topic: partition.topic, remoteTopic: remote.topic }]
    const mirror = new MemoryMirror({ source, target, flows })
    mirror.setConnected(false)
    await log.produce({ ...partition, records: numbered(0, 6) })
    expect(mirror.copy()).toBe(0)
    source.truncateBefore(partition, 2n)
    mirror.setConnected(true)
    expect([mirror.copy(1), mirror.copy()]).toEqual([1, 3])
    expect((await readAll(targetLog, remote)).numbers).toEqual([2, 3, 4, 5])
  })
})
