import { expect, test } from 'vitest'
import type { HeartbeatDisk, Position } from '@blockferry/disk-stream'
import { TargetWorld } from '../../testing/target-world.ts'
import type { TestSource } from '../../testing/test-source.ts'
import { stateOf } from '../disk/disk-state.ts'

const startMs = 1_700_000_000_000

async function inSync(): Promise<{ world: TargetWorld; vda: TestSource }> {
  const world = new TargetWorld({ applyIntervalMs: 50, overdueMs: 600_000, resyncRepeatMs: 600_000 })
  const vda = world.source('vda')
  vda.write(1, 1)
  world.arrive(vda.fullSync())
  await world.start()
  await world.time.until(() => world.drained('vda'), 'the sync')
  return { world, vda }
}

function announce(world: TargetWorld, position: Position): void {
  const line: HeartbeatDisk = {
    diskId: 'vda',
    state: 'STREAMING',
    code: null,
    position,
    consistentAsOfMs: startMs + world.time.nowMs,
    spooledEvents: 0,
    spooledBytes: 0,
    oldestSpooledAtMs: null,
    progress: null,
  }
  world.heartbeat(line)
}

const shown = (world: TargetWorld) => stateOf(world.live.volume.disk('vda'))
const asOf = (world: TargetWorld) => world.live.lag.consistentAsOfMs(world.live.volume.disk('vda'))

test('a heartbeat with the same sequence and another chain is another history: HALTED(DIVERGED), and a resync asked for once', async () => {
  const { world, vda } = await inSync()
  const before = asOf(world)
  await world.time.pass(5_000)
  for (let beat = 0; beat < 3; beat += 1) {
    announce(world, { ...vda.position, chain: vda.position.chain ^ 1 })
    await world.time.pass(1_000)
  }
  expect(shown(world)).toMatchObject({ state: 'HALTED', code: 'DIVERGED' })
  expect(asOf(world)).toBe(before)
  expect(world.requests()).toMatchObject([{ kind: 'resync', diskId: 'vda' }])
  // The source answers with a full resync.
  vda.begin({ kind: 'full' })
  world.describe('vda')
  world.arrive(vda.fullSync())
  await world.time.until(() => world.drained('vda'), 'the resync')
  announce(world, vda.position)
  await world.time.pass(1_000)
  expect(shown(world)).toMatchObject({ state: 'CONSISTENT', code: null })
  expect(asOf(world)).toBeGreaterThan(startMs + 8_000)
  await world.stop()
})

test('a heartbeat that is ahead of what has come, or behind it, or of a newer generation contradicts nothing', async () => {
  const { world, vda } = await inSync()
  const { position } = vda
  const others: readonly Position[] = [
    { ...position, sequence: position.sequence + 1, chain: 7 },
    { ...position, sequence: position.sequence - 1, chain: 7 },
    { ...position, generation: 2, generationId: 'b'.repeat(32), chain: 7 },
  ]
  for (const other of others) {
    announce(world, other)
    await world.time.pass(1_000)
    expect(shown(world)).toMatchObject({ state: 'CONSISTENT', code: null })
  }
  await world.stop()
})

test('a remembered heartbeat of another history does not carry the age on after a restart', async () => {
  const { world, vda } = await inSync()
  const before = asOf(world)
  await world.time.pass(5_000)
  announce(world, { ...vda.position, chain: vda.position.chain ^ 1 })
  await world.time.pass(1_000)
  await world.stop()
  await world.start()
  expect(asOf(world)).toBe(before)
  await world.stop()
})
