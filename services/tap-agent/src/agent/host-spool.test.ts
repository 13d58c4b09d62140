import { KiB, MiB } from '@blockferry/runtime'
import { describe, expect, test } from 'vitest'
import { AgentBench } from '../testing/agent-bench.ts'
import { pattern } from '../testing/disk-bench.ts'

const diskIds = ['vda', 'vdb', 'vdc']
/** Below what three disks would hold that stop at half of their own limit each. */
const volumeBytes = 12 * MiB
const spoolBytesMax = 8 * MiB

async function streaming(seed: number, sizeBytes = volumeBytes): Promise<AgentBench> {
  const bench = new AgentBench(seed, { diskIds, spoolBytesMax, volumeBytes: sizeBytes })
  await bench.start()
  for (const diskId of diskIds) await bench.untilStreaming(diskId)
  return bench
}

/** Each disk takes so many MiB, all at once, a second or so apart; answers with the most that the spools took. */
async function writeToAll(bench: AgentBench, megabytes: number, hasHint: boolean): Promise<number> {
  let most = 0
  const clock = bench.world.clock(bench.life)
  for (let round = 0; round < megabytes * 4; round += 1) {
    const writes = diskIds.flatMap((diskId) =>
      [0, 1, 2, 3].map((lane) => {
        const data = pattern(64 * KiB, round * 4 + lane)
        const write = { kind: 'write', byteOffset: lane * 64 * KiB, data } as const
        return bench.disk(diskId).path.change(write, { fua: false })
      }),
    )
    await bench.world.settle(Promise.all(writes), 'writes')
    for (const diskId of hasHint ? diskIds : []) {
      expect(bench.disk(diskId).status().state).toBe('STREAMING')
      await bench.untilShipped(diskId)
    }
    await bench.world.settle(clock.sleep(1_200))
    most = Math.max(most, bench.spoolsBytes)
  }
  return most
}

describe('spools that share a volume (T3)', () => {
  test('let go of what Kafka acknowledged, oldest first, before it fills: a cut WAN sends no disk AHEAD', async () => {
    const bench = await streaming(1)
    const most = await writeToAll(bench, 10, true)
    for (const diskId of diskIds) {
      expect(bench.disk(diskId).status()).toMatchObject({ state: 'STREAMING', position: { generation: 1 } })
      expect(bench.disk(diskId).status().received).toBe(null)
      expect(bench.replay(diskId).image.equals(bench.source(diskId))).toBe(true)
    }
    expect(most).toBeLessThanOrEqual(volumeBytes / 2)
  })

  test('go AHEAD with SPOOL_FULL, not into a full volume, while Kafka is away, and come back', async () => {
    const bench = await streaming(2)
    bench.cluster.setAvailable(false)
    const most = await writeToAll(bench, 5, false)
    // One segment of each disk may be begun when the budget is used up.
    expect(most).toBeLessThanOrEqual(volumeBytes / 2 + diskIds.length * 512 * KiB)
    const codes = diskIds.map((diskId) => bench.disk(diskId).status().code)
    expect(codes).toContain('SPOOL_FULL')
    expect(codes).not.toContain('SPOOL_FAILED')
    bench.cluster.setAvailable(true)
    for (const diskId of diskIds) await bench.untilStreaming(diskId)
    for (const diskId of diskIds) {
      await bench.untilShipped(diskId)
      expect(bench.replay(diskId).image.equals(bench.source(diskId))).toBe(true)
    }
  })

  test('take less when others take the volume', async () => {
    const bench = await streaming(3, 2 * volumeBytes)
    bench.foreignBytes = 2 * volumeBytes - 6 * MiB
    const most = await writeToAll(bench, 8, true)
    expect(most).toBeLessThanOrEqual(4 * MiB)
    for (const diskId of diskIds) {
      expect(bench.disk(diskId).status()).toMatchObject({ state: 'STREAMING', position: { generation: 1 } })
    }
  })
})
