import { waitFor, waitForReceived } from '@blockferry/cli'
import { KiB, MiB } from '@blockferry/runtime'
import { connectReplicationLog, type ReplicationLog } from '@blockferry/replication-log'
import type { BenchLab } from '../bench-lab.ts'
import type { Report } from '../figure.ts'
import { fioRandomWrites, type FioLoad, type FioResult } from '../fio.ts'
import type { WatchedLab } from '../watched-lab.ts'

/**
 * End to end: 64 KiB random writes as fast as the guest is let, until the last one is received. MirrorMaker
 * alone: the same kind of records, gathered in Kafka A while the link was cut, carried over between the same
 * brokers with the applier and the aggregator stopped.
 */
export async function measureThroughput(
  lab: BenchLab,
  options: { report: Report; seconds: number },
): Promise<void> {
  const load = {
    uri: lab.uri,
    blockBytes: 64 * KiB,
    depth: 16,
    seconds: options.seconds,
  }
  const { written, bytesPerSecond: endToEnd } = await writtenUntilReceived(lab, load)

  await lab.drained(300_000)
  const alone = await measureMirrorAlone(lab, load)
  // What was carried was the stream and no resync: the target comes through it CONSISTENT.
  await lab.whileConsistent(() => lab.drained(300_000))
  options.report.figures.push(
    {
      name: '64 KiB writes end to end',
      value: endToEnd / MiB,
      unit: 'MiB/s',
      note: `${(written.bytes / MiB).toFixed(0)} MiB in ${options.seconds} s by the guest, then until received`,
    },
    {
      name: 'MirrorMaker alone between the same brokers',
      value: alone.bytesPerSecond / MiB,
      unit: 'MiB/s',
      note: `${(alone.bytes / MiB).toFixed(0)} MiB of update sets`,
    },
    { name: 'guest p99 latency, 64 KiB writes end to end', value: written.p99Ms, unit: 'ms' },
    {
      name: 'end to end against MirrorMaker alone',
      value: endToEnd / alone.bytesPerSecond,
      unit: '×',
      aim: { min: 0.5 },
    },
  )
}

/** A load from its first byte until the target has received its last. */
export async function writtenUntilReceived(
  lab: WatchedLab,
  load: FioLoad,
): Promise<{ readonly written: FioResult; readonly bytesPerSecond: number }> {
  await lab.drained(300_000)
  const startedMs = performance.now()
  const written = await lab.whileConsistent(async () => {
    const result = await fioRandomWrites(load)
    await waitForReceived(lab.reader, { deadlineMs: 300_000, everyMs: 20 })
    return result
  })
  return { written, bytesPerSecond: written.bytes / ((performance.now() - startedMs) / 1000) }
}

async function measureMirrorAlone(
  lab: BenchLab,
  load: FioLoad,
): Promise<{ bytes: number; bytesPerSecond: number }> {
  const { sites } = lab.client.ready
  await using siteA = await connectReplicationLog({
    brokers: [sites['site-a']?.kafka ?? ''],
    clientId: 'blockferry-bench',
  })
  await using siteB = await connectReplicationLog({
    brokers: [sites['site-b']?.kafka ?? ''],
    clientId: 'blockferry-bench',
  })
  await lab.client.setLink({ up: false })
  // What was on the link has arrived: a heartbeat counted as gathered and carried before the clock starts would be waited for in vain.
  await settled(siteB, ['site-a.updates'])
  const before = await endOffsets(siteA, 'updates')
  const written = await lab.whileConsistent(() => fioRandomWrites(load))
  await settled(siteA, ['writes', 'updates'])
  // Awaited here: the logs above are closed when this function returns.
  return await lab.whileStopped(['applier', 'aggregator', 'tap-agent'], async () => {
    const target = await endOffsets(siteA, 'updates')
    const remoteBefore = await endOffsets(siteB, 'site-a.updates')
    const records = target - before
    await lab.client.setLink({ up: true })
    let firstMs = 0
    const arrived = async () => {
      const moved = (await endOffsets(siteB, 'site-a.updates')) - remoteBefore
      // The clock starts with the first record: reconnecting after a cut is not carrying.
      if (moved > 0n && firstMs === 0) firstMs = performance.now()
      return moved >= records
    }
    await waitFor(arrived, { what: 'MirrorMaker to carry the backlog', deadlineMs: 300_000, everyMs: 20 })
    return { bytes: written.bytes, bytesPerSecond: written.bytes / ((performance.now() - firstMs) / 1000) }
  })
}

/** In `idleMs`: heartbeats in each partition of both topics; a load makes ten times as many. */
const idleRecordsMax = 40
const idleMs = 3000

/** Nothing comes into the topics any more but what comes without a load. */
async function settled(log: ReplicationLog, topics: readonly string[]): Promise<void> {
  const recordCount = async () => {
    let sum = 0n
    for (const topic of topics) sum += await endOffsets(log, topic)
    return sum
  }
  let base = await recordCount()
  let sinceMs = performance.now()
  const quiet = async () => {
    const count = await recordCount()
    if (count - base > BigInt(idleRecordsMax)) {
      base = count
      sinceMs = performance.now()
    }
    return performance.now() - sinceMs > idleMs
  }
  await waitFor(quiet, { what: `${topics.join(', ')} to settle`, deadlineMs: 120_000, everyMs: 500 })
}

async function endOffsets(log: ReplicationLog, topic: string): Promise<bigint> {
  const description = await log.describeTopic(topic)
  let sum = 0n
  for (let kafkaPartition = 0; kafkaPartition < (description?.partitions ?? 0); kafkaPartition += 1) {
    sum += (await log.offsets({ topic, kafkaPartition })).latest
  }
  return sum
}
