import { MiB } from '@blockferry/runtime'
import { connectNbdWithRetry } from '@blockferry/nbd'
import { setTimeout as pause } from 'node:timers/promises'
import { LabClient } from '../lab-client/lab-client.ts'
import { waitForDrained } from '../verification/drained.ts'
import { LagWatcher, type WatchedSample } from './lag-watcher.ts'
import type { Narrator } from './narrator.ts'
import { PacedWriter } from './paced-writer.ts'

export interface StoryResult {
  readonly writer: PacedWriter
  readonly drainMs: number
  readonly delayMs: { readonly p50: number | null; readonly p99: number | null }
  readonly lastSample: WatchedSample | null
}

const wanCutMs = 10_000
const diskId = 'vda'

/** The part of the demo in which things happen: sync, live lag, a WAN cut, two kills, drain. */
export async function tellStory(lab: LabClient, narrator: Narrator): Promise<StoryResult> {
  const disk = lab.ready.disks.find((candidate) => candidate.id === diskId)
  const feedUrl = lab.ready.processes['applier']?.lag
  if (disk === undefined || feedUrl === undefined)
    throw new Error('the lab offers no disk vda or no lag feed')
  const { searchParams } = new URL(disk.nbd)
  const client = await connectNbdWithRetry({
    path: searchParams.get('socket') ?? '',
    exportName: diskId,
    deadlineMs: 60_000,
  })
  using watcher = new LagWatcher({ url: feedUrl, diskId, onSample: throttled(narrator) })
  const writer = new PacedWriter(client)

  narrator.step('A writer starts on the NBD export while the initial sync runs')
  writer.start()
  await watcher.until('the initial sync to end', (sample) => sample.state === 'CONSISTENT', 90_000)
  narrator.say(
    `the target holds a consistent copy; the writer has written ${megabytes(writer.bytes)} meanwhile`,
  )

  await watchSteadyState(watcher, narrator)
  const delayMs = watcher.latest?.replicationDelayMs ?? { p50: null, p99: null }
  await cutTheWan({ lab, watcher, narrator, writer })
  await killOnce('applier', { lab, watcher, narrator, writer })
  await killOnce('tap-agent', { lab, watcher, narrator, writer })

  narrator.step('The writer stops; everything drains')
  await writer.stop()
  await client.flush()
  const drainStartMs = performance.now()
  await waitForDrained(lab, { deadlineMs: 60_000, everyMs: 20 })
  const drainMs = Math.round(performance.now() - drainStartMs)
  const lastSample = watcher.latest
  await client.disconnect()
  return { writer, drainMs, delayMs, lastSample }
}

interface Scene {
  readonly lab: LabClient
  readonly watcher: LagWatcher
  readonly narrator: Narrator
  readonly writer: PacedWriter
}

async function watchSteadyState(watcher: LagWatcher, narrator: Narrator): Promise<void> {
  narrator.step('Replicating live: lag as the WebSocket tells it')
  await pause(6_000)
  await watcher.until(
    'a second of steady replication',
    (sample) => sample.replicationDelayMs.p99 !== null,
    10_000,
  )
}

async function cutTheWan(scene: Scene): Promise<void> {
  const { lab, watcher, narrator, writer } = scene
  narrator.step('The WAN is cut for ten seconds; the guest writes on')
  const writesBefore = writer.writes
  await lab.setLink({ up: false })
  await pause(wanCutMs)
  const pendingAge = watcher.latest?.recoveryPointAgeMs ?? 0
  await lab.setLink({ up: true })
  const written = writer.writes - writesBefore
  narrator.check(
    'the guest never waited for the WAN',
    written > 1000,
    `${written} writes acknowledged during the cut`,
  )
  narrator.check(
    'the cut showed as lag',
    pendingAge > wanCutMs / 2,
    `recovery point age reached ${pendingAge} ms`,
  )
  const restoredMs = performance.now()
  await watcher.until('lag to be back below two seconds', isCaughtUp, 60_000)
  narrator.say(
    `the link is back; caught up after ${((performance.now() - restoredMs) / 1000).toFixed(1)} s, in order`,
  )
}

async function killOnce(name: 'applier' | 'tap-agent', scene: Scene): Promise<void> {
  const { lab, watcher, narrator, writer } = scene
  narrator.step(`kill -9 of the ${name}, while the writer runs`)
  const killedMs = performance.now()
  const before = lab.pid(name)
  const writesBefore = writer.writes
  await lab.killAndAwaitRestart(name, 'SIGKILL')
  await watcher.until(
    `replication to go on after the ${name} was killed`,
    (sample) => writer.writes > writesBefore + 500 && isCaughtUp(sample),
    60_000,
  )
  const seconds = ((performance.now() - killedMs) / 1000).toFixed(1)
  narrator.say(`pid ${before} was killed; pid ${lab.pid(name)} took over; caught up after ${seconds} s`)
}

function isCaughtUp(sample: WatchedSample): boolean {
  return (
    sample.state === 'CONSISTENT' && sample.recoveryPointAgeMs !== null && sample.recoveryPointAgeMs < 2000
  )
}

/** One line a second is enough to read. */
function throttled(narrator: Narrator): (sample: WatchedSample) => void {
  let lastMs = 0
  return (sample) => {
    const nowMs = performance.now()
    if (nowMs - lastMs < 950) return
    lastMs = nowMs
    narrator.lag({ sample }, describeSample(sample))
  }
}

function describeSample(sample: WatchedSample): string {
  const age =
    sample.recoveryPointAgeMs === null ? 'no image yet' : `recovery point ${sample.recoveryPointAgeMs} ms old`
  const { p50, p99 } = sample.replicationDelayMs
  const delay = p99 === null ? '' : ` · delay p50 ${p50} p99 ${p99} ms`
  const progress =
    sample.progress === null
      ? ''
      : ` · ${sample.progress.phase} ${Math.floor((100 * sample.progress.doneBytes) / Math.max(1, sample.progress.totalBytes))} %`
  return `${sample.state.padEnd(10)} ${age}${delay} · pending ${sample.pendingWrites} writes, ${megabytes(sample.pendingBytes)}${progress}`
}

export function megabytes(bytes: number): string {
  return `${(bytes / MiB).toFixed(1)} MiB`
}
