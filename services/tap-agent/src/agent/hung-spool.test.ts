import { codeOf } from '@blockferry/runtime'
import { expect, test } from 'vitest'
import type { AgentBench } from '../testing/agent-bench.ts'
import { pattern } from '../testing/disk-bench.ts'
import { started } from '../testing/shipping-bench.ts'

/** What became of a write, once something has. */
function write(bench: AgentBench, diskId: string): { outcome: string | null } {
  const asked: { outcome: string | null } = { outcome: null }
  const data = pattern(512, 1)
  const done = bench.disk(diskId).path.change({ kind: 'write', byteOffset: 0, data }, { fua: false })
  done.then(
    () => (asked.outcome = 'done'),
    (error: unknown) => (asked.outcome = codeOf(error)),
  )
  return asked
}

test('a spool that hangs whole, appends and fdatasync, is noticed by the ticks of the agent (G1)', async () => {
  const bench = await started(1, ['vda', 'vdb'])
  bench.spoolGate = (diskId) => (diskId === 'vda' ? new Promise(() => {}) : Promise.resolve())
  const sinceMs = bench.world.nowMs
  const asked = write(bench, 'vda')
  await bench.until(() => asked.outcome !== null, 'an answer')
  expect(asked.outcome).toBe('STATE_VOLUME_FAILED')
  expect(bench.world.nowMs - sinceMs).toBeLessThanOrEqual(30_000)
  const neighbour = write(bench, 'vdb')
  await bench.until(() => neighbour.outcome !== null, 'an answer of its neighbour')
  expect(neighbour.outcome).toBe('done')
})

test('recovery points of one disk go on while the spool of another hangs (S6)', async () => {
  const bench = await started(2, ['vda', 'vdb'])
  const cuts = () =>
    bench.groups('vdb').flatMap(({ events }) => events.filter(({ kind }) => kind === 'recoveryPoint'))
  bench.spoolGate = (diskId) => (diskId === 'vda' ? new Promise(() => {}) : Promise.resolve())
  write(bench, 'vda')
  const sinceMs = bench.world.nowMs
  for (let round = 0; round < 3; round += 1) {
    const before = cuts().length
    write(bench, 'vdb')
    await bench.until(() => cuts().length > before, 'a cut of vdb')
  }
  // Before anybody has noticed that the spool hangs.
  expect(bench.world.nowMs - sinceMs).toBeLessThan(5_000)
})
