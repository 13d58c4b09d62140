import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type KafkaClientName, connectReplicationLog, kafkaClientNames } from '@blockferry/replication-log'
import { KiB, MiB } from '@blockferry/runtime'
import { startKafkaBroker } from '../../../test/support/kafka-broker.ts'
import type { ClientLoad, ClientResult } from '../clients/client-load.ts'
import { median, type Report } from '../figure.ts'

interface Contest extends Pick<ClientLoad, 'kind' | 'recordBytes' | 'recordsPerCall'> {
  readonly title: string
}

const contests: readonly Contest[] = [
  { title: 'produce 4 KiB × 1', kind: 'produce', recordBytes: 4 * KiB, recordsPerCall: 1 },
  { title: 'produce 4 KiB × 16', kind: 'produce', recordBytes: 4 * KiB, recordsPerCall: 16 },
  { title: 'produce 64 KiB × 16', kind: 'produce', recordBytes: 64 * KiB, recordsPerCall: 16 },
  { title: 'produce 1 MB × 4', kind: 'produce', recordBytes: 1_000_000, recordsPerCall: 4 },
  { title: 'fetch of 64 KiB records', kind: 'fetch', recordBytes: 64 * KiB, recordsPerCall: 16 },
]
/** More than a client keeps, less than the page cache. */
const fetchedBytes = 256 * MiB

interface Bench {
  readonly brokers: readonly string[]
  readonly seconds: number
}

/**
 * Both Kafka clients through the port on one broker of their own, in alternating runs, each a process of its
 * own so that processor time and memory are its own.
 */
export async function measureClients(options: {
  readonly report: Report
  readonly seconds: number
  readonly rounds: number
}): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'blockferry-bench-clients-'))
  try {
    await using broker = await startKafkaBroker({ directory, heap: '512m' })
    const bench = { brokers: [broker.bootstrap], seconds: options.seconds }
    for (const contest of contests) {
      const results = new Map<KafkaClientName, ClientResult[]>(kafkaClientNames.map((name) => [name, []]))
      for (let round = 0; round < options.rounds; round += 1) {
        for (const [name, found] of results) found.push(await runOnce(bench, { contest, name }))
      }
      reportContest(options.report, { contest, results })
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function runOnce(
  { brokers, seconds }: Bench,
  { contest, name }: { readonly contest: Contest; readonly name: KafkaClientName },
): Promise<ClientResult> {
  const topic = `bench-${contest.kind}-${name}-${performance.now().toFixed(0)}`
  await using log = await connectReplicationLog({ brokers, clientId: 'bench-owner' })
  const config = {
    'message.timestamp.type': 'LogAppendTime',
    'max.message.bytes': String(8 * MiB),
    'file.delete.delay.ms': '1000',
  }
  await log.ensureTopics([{ topic, partitions: 1, config }])
  if (contest.kind === 'fetch') await fill(log, { topic, contest })
  const { title: _, ...load } = contest
  const child: ClientLoad = { ...load, kafkaClient: name, brokers, topic, seconds }
  const script = join(import.meta.dirname, '../clients/client-load.ts')
  const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(child)])
  await log.deleteTopic(topic)
  return JSON.parse(stdout) as ClientResult
}

async function fill(
  log: Awaited<ReturnType<typeof connectReplicationLog>>,
  { topic, contest }: { readonly topic: string; readonly contest: Contest },
): Promise<void> {
  const value = Buffer.alloc(contest.recordBytes, 7)
  const records = Array.from({ length: contest.recordsPerCall }, () => ({ key: Buffer.from('vda'), value }))
  for (let bytes = 0; bytes < fetchedBytes; bytes += contest.recordBytes * contest.recordsPerCall) {
    await log.produce({ topic, kafkaPartition: 0, records })
  }
}

function reportContest(
  report: Report,
  { contest, results }: { readonly contest: Contest; readonly results: Map<KafkaClientName, ClientResult[]> },
): void {
  const medians = new Map<KafkaClientName, number>()
  for (const [name, found] of results) {
    const middle = (of: (result: ClientResult) => number) => median(found.map(of))
    medians.set(
      name,
      middle(({ bytesPerSecond }) => bytesPerSecond / 1e6),
    )
    report.figures.push({
      name: `${contest.title}: ${name}`,
      value: medians.get(name) ?? Number.NaN,
      unit: 'MB/s',
      note: [
        `p50 ${middle(({ p50Ms }) => p50Ms).toFixed(2)} ms`,
        `p99 ${middle(({ p99Ms }) => p99Ms).toFixed(2)} ms`,
        `CPU ${middle(({ cpuPercent }) => cpuPercent).toFixed(0)} %`,
        `peak RSS ${(middle(({ peakRssBytes }) => peakRssBytes) / MiB).toFixed(0)} MiB`,
        `median of ${found.length} alternating runs`,
      ].join(', '),
    })
  }
  report.figures.push({
    name: `${contest.title}: kafkajs against platformatic`,
    value: (medians.get('kafkajs') ?? Number.NaN) / (medians.get('platformatic') ?? Number.NaN),
    unit: '×',
  })
}
