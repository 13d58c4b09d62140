import { KiB } from '@blockferry/runtime'
import type { MintRequest } from '../disk/disk-ports.ts'
import { AgentBench } from './agent-bench.ts'
import { pattern } from './disk-bench.ts'

/** What a disk asks for that was never seen before. */
export const firstGeneration: MintRequest = {
  diskId: 'vda',
  groupId: null,
  provisioning: 'thin',
  sizeBytes: 256 * KiB,
  reason: 'initial',
  base: { kind: 'full' },
  predecessor: null,
  generationSeenMax: 0,
  kafkaPartition: null,
  stamp: { agentId: 'agent', counter: 1 },
}

/** Guest writes at random places, some under way at once, all answered in the end. */
export async function writeSome(bench: AgentBench, diskId: string, count: number): Promise<void> {
  const { path } = bench.disk(diskId)
  const pending: Promise<void>[] = []
  for (let tag = 1; tag <= count; tag += 1) {
    const byteOffset = bench.world.random.below(bench.sizeBytes / 512 - 16) * 512
    const data = pattern((1 + bench.world.random.below(16)) * 512, bench.world.random.below(60_000))
    pending.push(path.change({ kind: 'write', byteOffset, data }, { fua: false }))
    await bench.world.run(bench.world.random.below(20))
  }
  await bench.world.settle(Promise.all(pending), 'writes')
}

/** An agent whose disks stream. */
export async function started(seed: number, diskIds = ['vda']): Promise<AgentBench> {
  const bench = new AgentBench(seed, { diskIds })
  await bench.start()
  for (const diskId of diskIds) await bench.untilStreaming(diskId)
  return bench
}
