import { siteTopicSpecs, topicNames } from '@blockferry/replication-log'
import { decodeRecord } from '@blockferry/schemas'
import { expect, test } from 'vitest'
import type { AgentBench } from '../testing/agent-bench.ts'
import { started } from '../testing/shipping-bench.ts'

function partitionsOf(bench: AgentBench, diskId: string): ReadonlySet<number> {
  const found = new Set<number>()
  for (const kafkaPartition of [0, 1]) {
    for (const { key } of bench.cluster.records({ topic: topicNames.writes, kafkaPartition })) {
      if (key?.toString() === diskId) found.add(kafkaPartition)
    }
  }
  return found
}

/** The partition that the disk's newest descriptor names. */
function describedPartition(bench: AgentBench, diskId: string): number | null {
  const records = bench.cluster.records({ topic: topicNames.disks, kafkaPartition: 0 })
  const newest = records.findLast(({ key }) => key?.toString() === diskId)
  const decoded = newest === undefined ? null : decodeRecord(newest.value)
  return decoded?.kind === 'DiskDescriptor' ? decoded.record.kafkaPartition : null
}

test('a disk keeps its partition when Kafka has lost the descriptor that says so (K2)', async () => {
  const bench = await started(1, ['vda', 'vdb'])
  for (const diskId of ['vda', 'vdb']) await bench.untilShipped(diskId)
  const before = new Map(['vda', 'vdb'].map((diskId) => [diskId, partitionsOf(bench, diskId)]))
  expect(new Set([...before.values()].flatMap((found) => [...found]))).toEqual(new Set([0, 1]))
  const second = before.get('vda')?.has(1) === true ? 'vda' : 'vdb'
  await bench.kill()
  bench.cluster.deleteTopic(topicNames.disks)
  const specs = siteTopicSpecs({ site: 'site-a', peerSite: 'site-b', partitions: 2 })
  bench.cluster.createTopic(specs.find(({ topic }) => topic === topicNames.disks) ?? expect.fail())
  await bench.start()
  await bench.untilStreaming(second)
  // The first to mint would get partition 0, the least loaded of two that nobody is known to use.
  const request = { expectedGeneration: 1, code: 'RESYNC_REQUESTED' }
  await bench.world.settle(bench.disk(second).resync(request))
  await bench.until(() => bench.disk(second).status().shipped?.generation === 2, 'a new generation shipped')
  expect(describedPartition(bench, second)).toBe(1)
  await bench.kill()
  await bench.start()
  await bench.untilStreaming(second)
  await bench.untilShipped(second)
  expect(partitionsOf(bench, second)).toEqual(new Set([1]))
})
