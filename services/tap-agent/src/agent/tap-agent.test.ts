import { expect, test } from 'vitest'
import { AgentBench } from '../testing/agent-bench.ts'
import { started, writeSome } from '../testing/shipping-bench.ts'

/** From now on whatever the disk does each second fails. */
function failEveryTick(bench: AgentBench, diskId: string): void {
  Object.assign(bench.disk(diskId), { tick: () => Promise.reject(new Error('the volume is gone')) })
}

test('a disk whose tick fails is told of, and its neighbour goes on (G1)', async () => {
  const bench = await started(1, ['vda', 'vdb'])
  const troubles: string[] = []
  bench.onTrouble = (diskId, error) => troubles.push(`${diskId}: ${String(error)}`)
  failEveryTick(bench, 'vda')
  await bench.world.settle(bench.world.clock(bench.life).sleep(3_000))
  expect(troubles.length).toBeGreaterThanOrEqual(2)
  expect(new Set(troubles)).toEqual(new Set(['vda: Error: the volume is gone']))
  await writeSome(bench, 'vdb', 5)
  await bench.untilShipped('vdb')
})
