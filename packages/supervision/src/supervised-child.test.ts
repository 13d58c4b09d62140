import type { Clock } from '@blockferry/runtime'
import { describe, expect, test } from 'vitest'
import {
  backOffMsMax,
  type ChildEvent,
  type ChildExit,
  type ChildSpec,
  type LaunchedProcess,
  stableMsMin,
  SupervisedChild,
} from './supervised-child.ts'

/** A clock whose sleeps end at once and move it on, except those that wait for a deadline to be reached. */
class FakeClock implements Clock {
  nowMs = 0
  readonly sleeps: number[] = []
  /** Sleeps of these lengths never end by themselves. */
  readonly deadlines = new Set<number>([999_000, 888_000])

  wallMs = () => this.nowMs
  monotonicMs = () => this.nowMs

  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    if (this.deadlines.has(delayMs)) {
      await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()))
      return
    }
    this.sleeps.push(delayMs)
    this.nowMs += delayMs
    await Promise.resolve()
  }
}

interface FakeProcess extends LaunchedProcess {
  readonly signals: string[]
  exit(how?: Partial<ChildExit>): void
}

function createLab(spec: Partial<ChildSpec> = {}) {
  const clock = new FakeClock()
  const processes: FakeProcess[] = []
  const events: ChildEvent[] = []
  const launch = (): LaunchedProcess => {
    const { promise, resolve } = Promise.withResolvers<ChildExit>()
    const signals: string[] = []
    const process: FakeProcess = {
      pid: 100 + processes.length,
      exited: promise,
      signals,
      onLine: () => () => {},
      kill: (signal) => signals.push(signal),
      exit: (how = {}) => resolve({ code: how.code ?? null, signal: how.signal ?? null }),
    }
    processes.push(process)
    return process
  }
  const child = new SupervisedChild(
    {
      name: 'fake',
      command: 'fake',
      args: [],
      env: {},
      awaitReady: async () => {},
      readyMsMax: 999_000,
      stopMsMax: 888_000,
      ...spec,
    },
    { clock, launch, onEvent: (event) => events.push(event) },
  )
  return { child, clock, processes, events }
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

async function stop(lab: ReturnType<typeof createLab>): Promise<void> {
  const stopping = lab.child.stop()
  lab.processes.at(-1)?.exit({ code: 0 })
  await stopping
}

describe('a supervised child', () => {
  test('is restarted when it dies, and the restart says which process and why (V2)', async () => {
    const lab = createLab()
    await lab.child.start()
    lab.processes[0]?.exit({ signal: 'SIGKILL' })
    await settle()
    expect(lab.events).toContainEqual({
      kind: 'restarted',
      name: 'fake',
      pid: 101,
      reason: 'killed by SIGKILL',
    })
    expect(lab.child.pid).toBe(101)
    await stop(lab)
  })

  test('waits longer before each restart, up to the limit, and anew after it served long enough (V3)', async () => {
    const lab = createLab()
    await lab.child.start()
    for (let at = 0; at < 8; at += 1) {
      lab.processes[at]?.exit({ code: 1 })
      await settle()
    }
    expect(lab.clock.sleeps).toEqual([100, 200, 400, 800, 1600, 3200, backOffMsMax, backOffMsMax])
    lab.clock.nowMs += stableMsMin
    lab.processes[8]?.exit({ code: 1 })
    await settle()
    expect(lab.clock.sleeps.at(-1)).toBe(100)
    await stop(lab)
  })

  test('never has two processes at once (V1)', async () => {
    const lab = createLab()
    await lab.child.start()
    lab.child.restart('a task FAILED')
    await settle()
    expect(lab.processes).toHaveLength(1)
    expect(lab.processes[0]?.signals).toEqual(['SIGTERM'])
    lab.processes[0]?.exit({ code: 0 })
    await settle()
    expect(lab.processes).toHaveLength(2)
    expect(lab.events).toContainEqual(expect.objectContaining({ kind: 'restarted', reason: 'a task FAILED' }))
    await stop(lab)
  })

  test('gives up at once when a process refuses its configuration at the first start', async () => {
    const lab = createLab({ awaitReady: () => new Promise(() => {}) })
    const starting = lab.child.start()
    lab.processes[0]?.exit({ code: 78 })
    await expect(starting).rejects.toMatchObject({ code: 'CHILD_REFUSED_CONFIG' })
    expect(lab.processes).toHaveLength(1)
  })

  test('tries again when a process ends before it serves', async () => {
    let attempt = 0
    const awaitReady = async () => (attempt++ === 0 ? new Promise<void>(() => {}) : undefined)
    const lab = createLab({ awaitReady })
    const starting = lab.child.start()
    lab.processes[0]?.exit({ code: 1 })
    await starting
    expect(lab.processes).toHaveLength(2)
    await stop(lab)
  })

  test('kills and reports a process that does not serve in time', async () => {
    const lab = createLab({ awaitReady: () => new Promise(() => {}), readyMsMax: 60_000 })
    const starting = lab.child.start()
    const refused = expect(starting).rejects.toMatchObject({ code: 'CHILD_NOT_STARTED' })
    await settle()
    expect(lab.processes[0]?.signals).toEqual(['SIGTERM'])
    lab.processes[0]?.exit({ signal: 'SIGTERM' })
    await refused
    await stop(lab)
  })

  test('is killed when an orderly stop takes too long, and says so', async () => {
    const lab = createLab({ stopMsMax: 5_000 })
    await lab.child.start()
    const stopping = lab.child.stop()
    await settle()
    expect(lab.processes[0]?.signals).toEqual(['SIGTERM', 'SIGKILL'])
    lab.processes[0]?.exit({ signal: 'SIGKILL' })
    await stopping
    expect(lab.events.at(-1)).toEqual({ kind: 'stopped', name: 'fake', forced: true })
  })

  test('is not restarted after a stop', async () => {
    const lab = createLab()
    await lab.child.start()
    await stop(lab)
    await settle()
    expect(lab.processes).toHaveLength(1)
    expect(lab.events.map(({ kind }) => kind)).toEqual(['started', 'serving', 'stopped'])
    expect(lab.events.at(-1)).toEqual({ kind: 'stopped', name: 'fake', forced: false })
  })
})
