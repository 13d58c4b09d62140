import { createMemoryCluster, type ReplicationLog, siteTopicSpecs } from '@blockferry/replication-log'
import { Fault } from '@blockferry/runtime'
import { createLogger, systemClock } from '@blockferry/runtime/service'
import type { ChildExit, ChildSpec, LaunchedProcess } from '@blockferry/supervision'
import { describe, expect, onTestFinished, test } from 'vitest'
import { MirrorSupervisor } from './mirror-supervisor.ts'

const spec: ChildSpec = {
  name: 'mirror',
  command: 'java',
  args: [],
  env: {},
  awaitReady: async () => {},
  readyMsMax: 5_000,
  stopMsMax: 5_000,
}

function openSite(): ReplicationLog {
  return createMemoryCluster({ clock: systemClock }).connect({ clientId: 'test' })
}

/** Makes a site's cluster unreachable for topics until `back()`. */
function unreachable(log: ReplicationLog): { back(): void } {
  const reached = log.ensureTopics.bind(log)
  log.ensureTopics = async () => {
    throw new Fault('KAFKA_UNREACHABLE', 'no broker at wan:9093')
  }
  return {
    back: () => {
      log.ensureTopics = reached
    },
  }
}

interface Launched extends LaunchedProcess {
  readonly signals: string[]
  exit(exit: ChildExit): void
}

function startSupervisor(sites: { readonly source: ReplicationLog; readonly target: ReplicationLog }) {
  const launched: Launched[] = []
  const lines: string[] = []
  const launch = (): LaunchedProcess => {
    const { promise, resolve } = Promise.withResolvers<ChildExit>()
    const signals: string[] = []
    const process: Launched = {
      pid: 100 + launched.length,
      exited: promise,
      signals,
      onLine: () => () => {},
      kill: (signal) => {
        signals.push(signal)
        resolve({ code: 143, signal: null })
      },
      exit: resolve,
    }
    launched.push(process)
    return process
  }
  const supervisor = new MirrorSupervisor({
    clock: { ...systemClock, sleep: (delayMs, signal) => systemClock.sleep(Math.min(delayMs, 5), signal) },
    logger: createLogger({ service: 'test', destination: { write: (line) => void lines.push(line) } }),
    launch,
    source: { name: 'site-a', log: sites.source },
    target: { name: 'site-b', log: sites.target },
    spec,
    partitions: 2,
  })
  const stop = new AbortController()
  const running = supervisor.run(stop.signal)
  const end = async () => {
    stop.abort()
    await running
  }
  onTestFinished(end)
  return { supervisor, launched, lines, end }
}

async function until(what: () => boolean): Promise<void> {
  await expect.poll(what, { timeout: 10_000, interval: 5 }).toBe(true)
}

async function putStatus(log: ReplicationLog, entries: Readonly<Record<string, object>>): Promise<void> {
  const topic = 'mm2-status.site-a.internal'
  await log.ensureTopics([{ topic, partitions: 1, config: {} }])
  const records = Object.entries(entries).map(([key, value]) => ({
    key: Buffer.from(key),
    value: Buffer.from(JSON.stringify(value)),
  }))
  await log.produce({ topic, kafkaPartition: 0, records })
}

describe('the supervisor of MirrorMaker', () => {
  test('launches the JVM only when every topic is on both clusters, and says meanwhile what it waits for (K3)', async () => {
    const source = openSite()
    const link = unreachable(source)
    const target = openSite()
    const { launched, supervisor } = startSupervisor({ source, target })
    await until(() => supervisor.reasons.some((reason) => reason.includes('KAFKA_UNREACHABLE')))
    expect(supervisor.reasons).toEqual(['topics of site-a: KAFKA_UNREACHABLE: no broker at wan:9093'])
    expect(launched).toHaveLength(0)
    link.back()
    await until(() => launched.length === 1)
    const wanted = [
      [source, siteTopicSpecs({ site: 'site-a', peerSite: 'site-b', partitions: 2 })],
      [target, siteTopicSpecs({ site: 'site-b', peerSite: 'site-a', partitions: 2 })],
    ] as const
    for (const [log, specs] of wanted) {
      for (const { partitions, topic } of specs) {
        expect(await log.describeTopic(topic)).toMatchObject({ topic, partitions })
      }
    }
  })

  test('launches nothing when it is stopped while a cluster is away', async () => {
    const source = openSite()
    unreachable(source)
    const { end, launched, supervisor } = startSupervisor({ source, target: openSite() })
    await until(() => supervisor.reasons.some((reason) => reason.includes('KAFKA_UNREACHABLE')))
    await end()
    expect(launched).toHaveLength(0)
  })

  test('is ready when both flows run, and not before', async () => {
    const sites = { source: openSite(), target: openSite() }
    const { launched, supervisor } = startSupervisor(sites)
    await until(() => launched.length === 1)
    expect(supervisor.reasons.join()).toContain('does not run yet')
    await putStatus(sites.target, {
      'status-connector-MirrorSourceConnector': { state: 'RUNNING' },
      'status-task-MirrorSourceConnector-0': { state: 'RUNNING' },
    })
    await until(() => supervisor.flows[0]?.running === true)
    expect(supervisor.reasons).toEqual(['flow site-b->site-a does not run yet'])
  })

  test('replaces a JVM with a FAILED task, visibly', async () => {
    const sites = { source: openSite(), target: openSite() }
    const { launched, lines, supervisor } = startSupervisor(sites)
    await until(() => launched.length === 1)
    const failed = { state: 'FAILED', trace: 'OutOfMemoryError: Java heap' }
    await putStatus(sites.target, { 'status-task-MirrorSourceConnector-1': failed })
    await until(() => launched.length === 2)
    expect(launched[0]?.signals).toEqual(['SIGTERM'])
    expect(supervisor.process).toMatchObject({ restarts: 1 })
    expect(lines.join()).toContain('OutOfMemoryError: Java heap')
  })

  test('starts a JVM anew that died, and stops the running one in the end', async () => {
    const { end, launched, supervisor } = startSupervisor({ source: openSite(), target: openSite() })
    await until(() => launched.length === 1)
    launched[0]?.exit({ code: 3, signal: null })
    await until(() => launched.length === 2)
    expect(supervisor.process).toMatchObject({ pid: 101, restarts: 1 })
    await end()
    expect(launched[1]?.signals).toEqual(['SIGTERM'])
    expect(launched).toHaveLength(2)
  })
})
