import { createMemoryCluster, type ReplicationLog } from '@blockferry/replication-log'
import { createLogger, systemClock } from '@blockferry/runtime/service'
import { expect, test } from 'vitest'
import { mirrorFlows, MirrorMonitor } from './mirror-monitor.ts'

/** Two clusters with the topics that MirrorMaker would have made. */
async function openSites() {
  const open = async () => {
    const log: ReplicationLog = createMemoryCluster({ clock: systemClock }).connect({ clientId: 'test' })
    const topics = ['updates', 'disks', 'requests', 'positions', 'mm2-status.site-a.internal']
    const others = [
      'mm2-status.site-b.internal',
      'mm2-offsets.site-a.internal',
      'mm2-offsets.site-b.internal',
    ]
    await log.ensureTopics([...topics, ...others].map((topic) => ({ topic, partitions: 1, config: {} })))
    return log
  }
  return { siteA: await open(), siteB: await open() }
}

async function put(log: ReplicationLog, topic: string, record: readonly [string, object]): Promise<void> {
  const [key, value] = record
  const records = [{ key: Buffer.from(key), value: Buffer.from(JSON.stringify(value)) }]
  await log.produce({ topic, kafkaPartition: 0, records })
}

/** Runs the monitor until `done`, then stops it. */
async function watch(
  sites: { readonly siteA: ReplicationLog; readonly siteB: ReplicationLog },
  options: { readonly launchedAtMs: () => number; readonly looks: number },
) {
  const stop = new AbortController()
  const failures: string[] = []
  let looks = 0
  const clock = {
    ...systemClock,
    async sleep() {
      looks += 1
      if (looks >= options.looks) stop.abort()
    },
  }
  const monitor = new MirrorMonitor({
    clock,
    logger: createLogger({ service: 'test', destination: { write: () => {} } }),
    flows: mirrorFlows({
      source: { name: 'site-a', log: sites.siteA },
      target: { name: 'site-b', log: sites.siteB },
    }),
    launchedAtMs: options.launchedAtMs,
    onFailed: (reason) => failures.push(reason),
  })
  await monitor.run(stop.signal)
  return { failures, reports: monitor.reports }
}

const failedTask = [
  'status-task-MirrorSourceConnector-1',
  { state: 'FAILED', trace: 'OutOfMemoryError' },
] as const

test('a FAILED task asks for a new JVM, once for each JVM (M1)', async () => {
  const sites = await openSites()
  await put(sites.siteB, 'mm2-status.site-a.internal', failedTask)
  const { failures } = await watch(sites, { launchedAtMs: () => 0, looks: 4 })
  expect(failures).toEqual(['site-a->site-b task-MirrorSourceConnector-1: OutOfMemoryError'])
})

test('a task that FAILED under an earlier JVM asks for nothing', async () => {
  const sites = await openSites()
  await put(sites.siteB, 'mm2-status.site-a.internal', failedTask)
  const { failures } = await watch(sites, { launchedAtMs: () => Date.now() + 60_000, looks: 3 })
  expect(failures).toEqual([])
})

test('a flow is as far behind as the records that MirrorMaker has not recorded', async () => {
  const sites = await openSites()
  for (let at = 0; at < 5; at += 1) await put(sites.siteA, 'updates', ['vda', { at }])
  const place = ['MirrorSourceConnector', { cluster: 'site-a', partition: 0, topic: 'updates' }]
  await put(sites.siteB, 'mm2-offsets.site-a.internal', [JSON.stringify(place), { offset: 1 }])
  const { reports } = await watch(sites, { launchedAtMs: () => 0, looks: 1 })
  expect(reports[0]?.topics[0]).toEqual({ topic: 'updates', recordsBehind: 3 })
})

test('a source that does not answer hides neither that a flow runs nor that a task FAILED (M1)', async () => {
  const sites = await openSites()
  await put(sites.siteB, 'mm2-status.site-a.internal', [
    'status-connector-MirrorSourceConnector',
    { state: 'RUNNING' },
  ])
  await put(sites.siteB, 'mm2-status.site-a.internal', [
    'status-task-MirrorSourceConnector-0',
    { state: 'RUNNING' },
  ])
  await sites.siteA.close()
  const running = await watch(sites, { launchedAtMs: () => 0, looks: 2 })
  expect(running.reports[0]).toMatchObject({ running: true, trouble: expect.stringContaining('LOG_CLOSED') })
  expect(running.reports[1]).toMatchObject({ running: false, trouble: expect.stringContaining('LOG_CLOSED') })
  await put(sites.siteB, 'mm2-status.site-a.internal', failedTask)
  const { failures } = await watch(sites, { launchedAtMs: () => 0, looks: 2 })
  expect(failures).toEqual(['site-a->site-b task-MirrorSourceConnector-1: OutOfMemoryError'])
})
