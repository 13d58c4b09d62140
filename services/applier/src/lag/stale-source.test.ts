import { describe, expect, test } from 'vitest'
import type { HeartbeatDisk } from '@blockferry/disk-stream'
import type { TestSource } from '../../testing/test-source.ts'
import { TargetWorld } from '../../testing/target-world.ts'
import type { LagSample } from './lag-sample.ts'

/* Design §9: a stale sample never looks healthy. */

const startMs = 1_700_000_000_000
const hourMs = 3_600_000

interface Watched {
  readonly world: TargetWorld
  readonly vda: TestSource
  readonly sample: () => LagSample
  readonly nowMs: () => number
}

async function inSync(): Promise<Watched> {
  const world = new TargetWorld({ applyIntervalMs: 50, overdueMs: 600_000 })
  const vda = world.source('vda')
  vda.write(1, 1)
  world.arrive(vda.fullSync())
  await world.start()
  await world.time.until(() => world.drained('vda'), 'the sync')
  const sample = () => world.live.lag.sample(world.live.volume.disk('vda'))
  return { world, vda, sample, nowMs: () => startMs + world.time.nowMs }
}

function lineOf(source: TestSource, given: Partial<HeartbeatDisk> = {}): HeartbeatDisk {
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

/** The backlog of a cut link: heartbeats once a second of source time, each with `writes` events more, carried `speed` times as fast. */
async function backlog(
  { world, vda }: Watched,
  how: {
    readonly fromMs: number
    readonly seconds: number
    readonly writes: number
    readonly speed: number
    readonly each?: () => void
  },
): Promise<void> {
  let { sequence } = vda.position
  for (let second = 0; second < how.seconds; second += how.speed) {
    const sourceTimeMs = how.fromMs + second * 1_000
    sequence += how.writes * how.speed
    const position = { ...vda.position, sequence }
    world.heartbeatWith({ sourceTimeMs }, lineOf(vda, { position, consistentAsOfMs: sourceTimeMs }))
    await world.time.pass(1_000)
    how.each?.()
  }
}

describe('a heartbeat that was held up on the way', () => {
  test('shows how late it is: the source, the mirror and the age say so', async () => {
    const watched = await inSync()
    const { world, vda, sample, nowMs } = watched
    const sentMs = nowMs() - hourMs
    world.heartbeatWith({ sourceTimeMs: sentMs }, lineOf(vda, { consistentAsOfMs: sentMs }))
    await world.time.pass(600)
    expect(sample().source?.state).toBe('LATE')
    expect(sample().stages.mirrorMs).toBeGreaterThan(hourMs - 5_000)
    expect(sample()).toMatchObject({ stages: { spooledMs: 0, aggregatorMs: 0 } })
    await world.stop()
  })

  test('is no younger for a clock estimate that rests on an echo as late as itself', async () => {
    const { world, vda, sample, nowMs } = await inSync()
    // NTP's formula over a way out of an hour and a way back of no time.
    const clockSkew = { estimateMs: hourMs / 2, errorMs: hourMs / 2 }
    world.heartbeatWith({ sourceTimeMs: nowMs() - hourMs, clockSkew }, lineOf(vda))
    await world.time.pass(600)
    expect(sample().source?.state).toBe('LATE')
    expect(sample().stages.mirrorMs).toBeGreaterThanOrEqual(hourMs)
    await world.stop()
  })

  test('by less than makes the source late still shows as an age of the mirror', async () => {
    const { world, vda, sample, nowMs } = await inSync()
    world.heartbeatWith({ sourceTimeMs: nowMs() - 3_000 }, lineOf(vda))
    await world.time.pass(600)
    expect(sample().source?.state).toBe('STREAMING')
    expect(sample().stages.mirrorMs).toBeGreaterThanOrEqual(3_000)
    await world.stop()
  })

  test('in time shows nothing, with any skew between the clocks', async () => {
    const { world, vda, sample, nowMs } = await inSync()
    for (const skewMs of [-hourMs, 0, hourMs]) {
      // The stamp goes on: source time alone would make the second of these look older.
      world.heartbeatWith(
        {
          sourceTimeMs: nowMs() - skewMs,
          clockSkew: { estimateMs: skewMs, errorMs: 1 },
          stamp: { agentId: 'agent', counter: 10 + skewMs / hourMs },
        },
        lineOf(vda),
      )
      await world.time.pass(600)
      expect(sample().clockSkewMs?.estimate).toBe(skewMs)
      expect(sample()).toMatchObject({ pendingWrites: 0, etaMs: null, source: { state: 'STREAMING' } })
      expect(sample().stages.mirrorMs).toBe(0)
    }
    await world.stop()
  })

  test('says what may be pending, at the pace of what is known', async () => {
    const watched = await inSync()
    const { sample, nowMs, world, vda } = watched
    await backlog(watched, { fromMs: nowMs() - hourMs, seconds: 60, writes: 50, speed: 1 })
    const announced = vda.position.sequence + 60 * 50
    const held = sample().received?.sequence ?? 0
    const sinceSent = (50 * hourMs) / 1_000
    expect(sample().known?.sequence).toBe(announced)
    expect(sample().pendingWrites).toBeGreaterThan(announced - held + sinceSent * 0.8)
    expect(sample().pendingWrites).toBeLessThan(announced - held + sinceSent * 1.2)
    expect(sample().pendingBytes).toBeGreaterThan(sample().pendingWrites)
    // Nothing comes at all any more: that looks no better.
    const before = sample().pendingWrites
    await world.time.pass(10_000)
    expect(sample().source?.state).toBe('SILENT')
    expect(sample().pendingWrites).toBeGreaterThanOrEqual(before)
    await world.stop()
  })

  test('says when the mirror will have caught up, by how fast its age shrinks', async () => {
    const watched = await inSync()
    const { world, sample, nowMs } = watched
    const found: LagSample[] = []
    // Of 31 seconds carried in each, 30 are gain.
    await backlog(watched, {
      fromMs: nowMs() - hourMs,
      seconds: 1_200,
      writes: 0,
      speed: 31,
      each: () => found.push(sample()),
    })
    for (const { etaMs, stages } of found.slice(15)) {
      expect(etaMs).toBeGreaterThan((stages.mirrorMs / 30) * 0.9)
      expect(etaMs).toBeLessThan((stages.mirrorMs / 30) * 1.1)
    }
    expect(found.length).toBeGreaterThan(30)
    await world.stop()
  })

  test('that claims to come from the future is as old as its arrival', async () => {
    const { world, vda, sample, nowMs } = await inSync()
    world.heartbeatWith({ sourceTimeMs: nowMs() + hourMs }, lineOf(vda))
    await world.time.pass(600)
    expect(sample().stages.mirrorMs).toBe(0)
    await world.time.pass(10_000)
    expect(sample().source?.state).toBe('SILENT')
    expect(sample().stages.mirrorMs).toBeGreaterThan(9_000)
    await world.stop()
  })

  test('of an idle disk announces no writes that nobody made', async () => {
    const watched = await inSync()
    const { sample, nowMs, world } = watched
    await backlog(watched, { fromMs: nowMs() - hourMs, seconds: 30, writes: 0, speed: 1 })
    expect(sample()).toMatchObject({ pendingWrites: 0, pendingBytes: 0, source: { state: 'LATE' } })
    await world.stop()
  })
})

describe('after a restart of the applier', () => {
  /** Heard once, then never again; the applier restarts while the source is dead. */
  async function restarted(how: 'stop' | 'crash', skewMs: number): Promise<Watched> {
    const watched = await inSync()
    const { world, vda, nowMs } = watched
    const sourceTimeMs = nowMs() - skewMs
    const clockSkew = { estimateMs: skewMs, errorMs: 2 }
    world.heartbeatWith({ sourceTimeMs, clockSkew }, lineOf(vda, { consistentAsOfMs: sourceTimeMs }))
    await world.time.until(() => watched.sample().source !== null, 'the heartbeat')
    // A killed one remembers as of its last checkpoint.
    if (how === 'stop') await world.stop()
    else {
      await world.time.pass(12_000)
      world.crash()
    }
    await world.start()
    return watched
  }

  test.each(['stop', 'crash'] as const)(
    'a dead source is still known, and known to be silent (%s)',
    async (how) => {
      const { world, sample } = await restarted(how, 0)
      await world.time.pass(30_000)
      expect(sample().source?.state).toBe('SILENT')
      expect(sample().stages.mirrorMs).toBeGreaterThan(29_000)
      expect(sample().recoveryPointAgeMs).toBeGreaterThan(29_000)
      expect(sample().recoveryPointAgeMs).toBeLessThan(50_000)
      expect(sample().clockSkewMs).toEqual({ estimate: 0, error: 2 })
      await world.stop()
    },
  )

  test('a source whose clock is an hour ahead ages from the first moment on', async () => {
    const { world, sample } = await restarted('stop', -hourMs)
    await world.time.pass(30_000)
    expect(sample().recoveryPointAgeMs).toBeGreaterThan(29_000)
    expect(sample().source?.state).toBe('SILENT')
    await world.stop()
  })

  test('a source that lives is shown as it is with its next heartbeat', async () => {
    const { world, vda, sample, nowMs } = await restarted('stop', 0)
    await world.time.pass(30_000)
    const clockSkew = { estimateMs: 0, errorMs: 1 }
    world.heartbeatWith({ clockSkew }, lineOf(vda, { consistentAsOfMs: nowMs() }))
    await world.time.pass(600)
    expect(sample()).toMatchObject({
      source: { state: 'STREAMING' },
      stages: { mirrorMs: 0 },
      pendingWrites: 0,
    })
    expect(sample().recoveryPointAgeMs).toBeLessThan(1_000)
    await world.stop()
  })
})
