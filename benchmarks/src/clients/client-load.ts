import { randomFillSync } from 'node:crypto'
import { type KafkaClientName, connectReplicationLog, type ReplicationLog } from '@blockferry/replication-log'
import { MiB } from '@blockferry/runtime'

/** What one child process does: produce or fetch through the port, as fast as it is let, one call at a time. */
export interface ClientLoad {
  readonly kafkaClient: KafkaClientName
  readonly brokers: readonly string[]
  readonly topic: string
  readonly kind: 'produce' | 'fetch'
  readonly recordBytes: number
  readonly recordsPerCall: number
  readonly seconds: number
}

export interface ClientResult {
  readonly bytesPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Of one processor, user and system, all threads. */
  readonly cpuPercent: number
  readonly peakRssBytes: number
}

/** Until the code is compiled and the connection has grown. */
const warmUpMs = 1_000

/** Returns the bytes one call carried. */
type Call = () => Promise<number>

const load = JSON.parse(process.argv[2] ?? '') as ClientLoad
await using log = await connectReplicationLog({
  brokers: load.brokers,
  clientId: 'bench',
  kafkaClient: load.kafkaClient,
})
const call = load.kind === 'produce' ? producing(log) : await fetching(log)
process.stdout.write(JSON.stringify(await measure(call)))

function producing(to: ReplicationLog): Call {
  const value = () => randomFillSync(Buffer.alloc(load.recordBytes))
  const records = Array.from({ length: load.recordsPerCall }, () => ({
    key: Buffer.from('vda'),
    value: value(),
  }))
  return async () => {
    await to.produce({ topic: load.topic, kafkaPartition: 0, records })
    return load.recordBytes * load.recordsPerCall
  }
}

/** Reads the partition from its first record to its last, over and over. */
async function fetching(from: ReplicationLog): Promise<Call> {
  const partition = { topic: load.topic, kafkaPartition: 0 }
  const { earliest, latest } = await from.offsets(partition)
  let kafkaOffset = earliest
  return async () => {
    const [outcome] = await from.fetch({
      positions: [{ ...partition, kafkaOffset }],
      waitMsMax: 1_000,
      partitionBytesMax: 4 * MiB,
      bytesMax: 16 * MiB,
    })
    if (outcome?.kind !== 'records') throw new Error(`fetch: ${JSON.stringify(outcome)}`)
    kafkaOffset = outcome.nextKafkaOffset >= latest ? earliest : outcome.nextKafkaOffset
    return outcome.records.reduce((bytes, { value }) => bytes + value.length, 0)
  }
}

async function measure(once: Call): Promise<ClientResult> {
  await repeat(once, warmUpMs)
  const [startedMs, cpuBefore] = [performance.now(), process.cpuUsage()]
  const { bytes, callsMs } = await repeat(once, load.seconds * 1_000)
  const elapsedMs = performance.now() - startedMs
  const { user, system } = process.cpuUsage(cpuBefore)
  const sorted = callsMs.toSorted((a, b) => a - b)
  const percentile = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN
  return {
    bytesPerSecond: (bytes / elapsedMs) * 1_000,
    p50Ms: percentile(0.5),
    p99Ms: percentile(0.99),
    cpuPercent: ((user + system) / 1_000 / elapsedMs) * 100,
    peakRssBytes: process.resourceUsage().maxRSS * 1_024,
  }
}

async function repeat(once: Call, forMs: number): Promise<{ bytes: number; callsMs: number[] }> {
  const callsMs: number[] = []
  let bytes = 0
  const untilMs = performance.now() + forMs
  for (let nowMs = performance.now(); nowMs < untilMs;) {
    bytes += await once()
    const beforeMs = nowMs
    nowMs = performance.now()
    callsMs.push(nowMs - beforeMs)
  }
  return { bytes, callsMs }
}
