import { StreamModel } from '@blockferry/disk-stream/testing'
import { createMemoryCluster, type ReplicationLog } from '@blockferry/replication-log'
import { systemClock } from '@blockferry/runtime/service'
import { encodeWriteGroup } from '@blockferry/schemas'
import { describe, expect, test } from 'vitest'
import type { ServiceReader } from '../lab-client/service-reader.ts'
import { auditHistory } from './audit-history.ts'

const cutId = '7'.repeat(32)

/** One write and its cut in the topic `writes`. */
async function sourceWithOneCut(): Promise<ReplicationLog> {
  const disk = new StreamModel({ diskId: 'vda', bytes: Buffer.alloc(256) })
  disk.begin({
    number: 1,
    id: 'a'.repeat(32),
    ownerSite: 'site-a',
    reason: 'resync',
    base: { kind: 'full' },
    predecessor: null,
    stamp: { agentId: 'agent', counter: 1 },
  })
  disk.write(0, Buffer.alloc(8, 1))
  const members = ['vda']
  const cut = { cutId, groupId: null, members, name: null, requestId: null, wallTimeMs: 1, capturedAtMs: 1 }
  const { sequence } = disk.append({ kind: 'recoveryPoint', ...cut })
  const cluster = createMemoryCluster({ clock: systemClock })
  cluster.createTopic({ topic: 'writes', partitions: 1, config: { 'max.message.bytes': '1048576' } })
  const log = cluster.connect({ clientId: 'test' })
  const value = encodeWriteGroup(disk.group(1, { first: 1, last: sequence }))
  await log.produce({ topic: 'writes', kafkaPartition: 0, records: [{ key: Buffer.from('vda'), value }] })
  return log
}

/** A target that reaches sequence 2, the cut, at the third look at its lag; it may then have lost it. */
function slowTarget(options: { readonly losesCut: boolean }): ServiceReader {
  let looks = 0
  const place = (sequence: number) => ({ generation: 1, sequence })
  const answer = (path: string): unknown => {
    if (path === '/v1/disks') return { disks: [{ diskId: 'vda', state: 'STREAMING', position: place(2) }] }
    if (path === '/v1/lag') {
      looks += 1
      const applied = place(looks < 3 ? 1 : 2)
      const sample = { diskId: 'vda', state: 'CONSISTENT', pendingWrites: 0, received: applied, applied }
      return { disks: [{ ...sample, known: applied }] }
    }
    const recoveryPoints = looks < 3 || options.losesCut ? [] : [{ cutId }]
    return { recoveryPoints, nextCursor: null }
  }
  return { get: async <T>(_: string, path: string) => answer(path) as T, logTail: [] }
}

describe('the audit of a history', () => {
  test('takes a cut that is under way when the stream is read for one that arrives, not for a missing one', async () => {
    await using log = await sourceWithOneCut()
    const audit = await auditHistory(slowTarget({ losesCut: false }), { log, diskId: 'vda' })
    expect(audit).toMatchObject({ generations: [1], indexedCuts: 1, missingCuts: [] })
    expect(audit.cuts).toHaveLength(1)
  })

  test('shows a cut that the target has passed and not kept', async () => {
    await using log = await sourceWithOneCut()
    const audit = await auditHistory(slowTarget({ losesCut: true }), { log, diskId: 'vda' })
    expect(audit.missingCuts).toMatchObject([{ cutId }])
  })
})
