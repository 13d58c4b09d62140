import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectReplicationLog, nextAfterDamage, type ReplicationLog } from '@blockferry/replication-log'
import { fetchOf, numbered, specOf } from '@blockferry/replication-log/conformance-harness'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type KafkaBroker, startKafkaBroker } from '../support/kafka-broker.ts'
import { describeWith, requireKafka } from '../support/requirements.ts'

const batchRecords = 3

describeWith([requireKafka], 'a batch damaged on the broker’s own disk', () => {
  let directory: string
  let broker: KafkaBroker
  let log: ReplicationLog

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'blockferry-kafka-'))
    broker = await startKafkaBroker({ directory })
    log = await connectReplicationLog({ brokers: [`127.0.0.1:${broker.port}`], clientId: 'reader' })
  })
  afterAll(async () => {
    await log?.close()
    await broker?.[Symbol.asyncDispose]()
    await rm(directory, { recursive: true })
  })

  /**
   * Three batches of three records, of which the second has one bit flipped in its segment file. (Where the length
   * is damaged the broker itself cannot go on, and answers CORRUPT_MESSAGE or nothing.)
   */
  async function damaged(topic: string, byteInBatch: (batchBytes: number) => number, bit: number) {
    await log.ensureTopics([specOf(topic)])
    const partition = { topic, kafkaPartition: 0 }
    for (let batch = 0; batch < 3; batch += 1) {
      await log.produce({ ...partition, records: numbered(batch * batchRecords, batchRecords) })
    }
    const path = join(directory, 'log', `${topic}-0`, '00000000000000000000.log')
    const stored = await readFile(path)
    const second = stored.readInt32BE(8) + 12
    const at = second + byteInBatch(stored.readInt32BE(second + 8) + 12)
    const file = await open(path, 'r+')
    await file.write(Buffer.from([(stored[at] ?? 0) ^ bit]), 0, 1, at)
    await file.close()
    return partition
  }

  test.for([
    ['a record', (batchBytes: number) => batchBytes - 3, 1],
    ['the span of its offsets', () => 26, 0x40],
  ] as const)(
    'in %s: what is before is read, the damage is told, and reading goes on behind',
    async ([what, byteInBatch, bit]) => {
      const topic = `damaged-${what.replaceAll(/[^a-z]/g, '')}`
      const partition = await damaged(topic, byteInBatch, bit)
      const seen: number[] = []
      const left: bigint[] = []
      for (let kafkaOffset = 0n; kafkaOffset < 3n * BigInt(batchRecords);) {
        const [outcome] = await log.fetch(fetchOf([{ ...partition, kafkaOffset }]))
        if (outcome?.kind === 'records') {
          seen.push(...outcome.records.map(({ value }) => Number(value.toString())))
          kafkaOffset = outcome.nextKafkaOffset
        } else {
          const next = outcome?.kind === 'failed' ? nextAfterDamage(outcome.cause) : null
          expect(next, 'where to go on').not.toBeNull()
          left.push(kafkaOffset)
          kafkaOffset = next ?? kafkaOffset
        }
      }
      expect(seen).toEqual([0, 1, 2, 6, 7, 8])
      expect(left).toEqual([3n])
    },
  )
})
