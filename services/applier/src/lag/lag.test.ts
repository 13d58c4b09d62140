import { describe, expect, test } from 'vitest'
import type { HeartbeatDisk } from '@blockferry/disk-stream'
import type { TestSource } from '../../testing/test-source.ts'
import { TargetWorld } from '../../testing/target-world.ts'
import { DelayWindow } from './delay-window.ts'
import { DrainEstimate } from './drain-estimate.ts'
import type { LagSample } from './lag-sample.ts'

const startMs = 1_700_000_000_000

async function inSync(): Promise<{ world: TargetWorld; vda: TestSource; sample: () => LagSample }> {
  const world = new TargetWorld({ applyIntervalMs: 50, sourceSilentMs: 3_000, overdueMs: 600_000 })
  const vda = world.source('vda')
  vda.write(1, 1)
  world.arrive(vda.fullSync())
  await world.start()
  await world.time.until(() => world.drained('vda'), 'the sync')
  return { world, vda, sample: () => world.live.lag.sample(world.live.volume.disk('vda')) }
}

function heartbeatOf(source: TestSource, given: Partial<HeartbeatDisk> = {}): HeartbeatDisk {
  return {
    diskId: source.diskId,
    state: 'STREAMING',
    code: null,
    position: source.position,
    consistentAsOfMs: startMs,
    spooledEvents: 0,
    spooledBytes: 0,
    oldestSpooledAtMs: null,
    progress: null,
    ...given,
  }
}

describe('lag', () => {
  test('of an idle disk is what its heartbeats carry on', async () => {
    const { world, vda, sample } = await inSync()
    await world.time.pass(10_000)
    expect(sample().recoveryPointAgeMs).toBeGreaterThan(9_000)
    const asOf = world.time.nowMs
    world.heartbeat(heartbeatOf(vda, { consistentAsOfMs: startMs + asOf }))
    await world.time.pass(500)
    expect(sample().recoveryPointAgeMs).toBeLessThan(1_000)
    expect(sample().consistentAsOf).toBe(new Date(startMs + asOf).toISOString())
    await world.stop()
  })

  test('grows while the image stands, whatever heartbeats say', async () => {
    const { world, vda, sample } = await inSync()
    const before = sample().consistentAsOf
    vda.write(2, 2)
    vda.set()
    vda.write(3, 3)
    world.arrive(vda.set())
    await world.time.until(() => sample().state === 'HALTED', 'the gap')
    world.heartbeat(heartbeatOf(vda, { consistentAsOfMs: startMs + world.time.nowMs }))
    await world.time.pass(20_000)
    expect(sample().consistentAsOf).toBe(before)
    expect(sample().recoveryPointAgeMs).toBeGreaterThan(19_000)
    await world.stop()
  })

  test('counts what the source announced and the target lacks, and says where it waits', async () => {
    const { world, vda, sample } = await inSync()
    vda.write(2, 2)
    vda.write(3, 3)
    const later = vda.set()
    const oldestSpooledAtMs = startMs + world.time.nowMs
    world.heartbeat(heartbeatOf(vda, { spooledEvents: 2, spooledBytes: 1_024, oldestSpooledAtMs }))
    await world.time.pass(1_000)
    expect(sample()).toMatchObject({
      pendingWrites: 2,
      known: { generation: 1, sequence: vda.position.sequence },
    })
    expect(sample().pendingBytes).toBeGreaterThanOrEqual(1_024)
    expect(sample().stages.spooledMs).toBeGreaterThan(900)
    expect(sample().stages.mirrorMs).toBe(0)
    world.arrive(later)
    await world.time.until(() => world.drained('vda'), 'the set')
    expect(sample()).toMatchObject({
      pendingWrites: 0,
      pendingBytes: 0,
      stages: { spooledMs: 0, aggregatorMs: 0 },
    })
    await world.stop()
  })

  test('of a source that fell silent never looks healthy', async () => {
    const { world, vda, sample } = await inSync()
    world.heartbeat(heartbeatOf(vda, { consistentAsOfMs: startMs + world.time.nowMs }))
    await world.time.pass(1_000)
    expect(sample().source?.state).toBe('STREAMING')
    await world.time.pass(5_000)
    expect(sample().source?.state).toBe('SILENT')
    expect(sample().stages.mirrorMs).toBeGreaterThan(5_000)
    expect(sample().recoveryPointAgeMs).toBeGreaterThan(5_000)
    await world.stop()
  })

  test('is never negative when the source’s clock runs ahead', async () => {
    const { world, vda, sample } = await inSync()
    const set = (() => {
      vda.write(2, 2)
      return vda.set()
    })()
    world.arrive({ ...set, firstCapturedAtMs: startMs + 9_999_999, lastCapturedAtMs: startMs + 9_999_999 })
    await world.time.until(() => world.drained('vda'), 'the set')
    const { replicationDelayMs, recoveryPointAgeMs } = sample()
    expect(replicationDelayMs.p50).toBeGreaterThanOrEqual(0)
    expect(recoveryPointAgeMs).toBeGreaterThanOrEqual(0)
    await world.stop()
  })
})

describe('the delay window', () => {
  test('gives percentiles within 4 %, weighted by events, and forgets after a minute', () => {
    const window = new DelayWindow()
    for (let delayMs = 1; delayMs <= 1_000; delayMs += 1) window.record(delayMs, { nowMs: 0, weight: 2 })
    const { p50, p99 } = window.percentiles(1_000)
    expect(p50).toBeGreaterThanOrEqual(500)
    expect(p50).toBeLessThan(525)
    expect(p99).toBeGreaterThanOrEqual(990)
    expect(p99).toBeLessThan(1_035)
    expect(window.percentiles(66_000)).toEqual({ p50: null, p99: null, windowS: 60 })
  })
})

describe('the drain estimate', () => {
  test('says when a shrinking backlog is gone, and nothing while it grows', () => {
    const drain = new DrainEstimate()
    for (let second = 0; second <= 5; second += 1)
      drain.note({ atMs: second * 1_000, backlog: 1_000 - second * 100 })
    expect(drain.etaMs()).toBe(5_000)
    const growing = new DrainEstimate()
    for (let second = 0; second <= 5; second += 1) growing.note({ atMs: second * 1_000, backlog: second })
    expect(growing.etaMs()).toBe(null)
  })
})
