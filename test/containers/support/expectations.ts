import { auditHistory, waitForDrained } from '@blockferry/cli'
import { connectReplicationLog } from '@blockferry/replication-log'
import { expect } from 'vitest'
import type { Deployment, ServiceName } from './deployment.ts'

/** Drained, the target's image is the source, byte for byte, and takes no more room (5 %). */
export async function expectEqualImages(deployment: Deployment, diskId: string): Promise<void> {
  await waitForDrained(deployment, { deadlineMs: 180_000 })
  const source = await look(deployment, 'tap-agent', `/disks/${diskId}.raw`)
  const target = await look(deployment, 'applier', `/images/${diskId}.raw`)
  expect(target.sha256).toBe(source.sha256)
  expect(target.blocks / source.blocks).toBeGreaterThan(0.95)
  expect(target.blocks / source.blocks).toBeLessThan(1.05)
}

async function look(deployment: Deployment, service: ServiceName, path: string) {
  const sum = await deployment.run(service, ['sha256sum', path])
  const blocks = await deployment.run(service, ['stat', '--format=%b', path])
  return { sha256: sum.split(' ')[0], blocks: Number(blocks) }
}

/** One generation: nothing was resynced. Every cut of the stream is in the target's index: none is missing. */
export async function expectWholeHistory(deployment: Deployment, diskId: string): Promise<void> {
  const brokers = [`127.0.0.1:${deployment.port('kafka-a')}`]
  await using log = await connectReplicationLog({ brokers, clientId: 'blockferry-test' })
  const audit = await auditHistory(deployment, { log, diskId })
  expect(audit.generations).toEqual([1])
  expect(audit.missingCuts).toEqual([])
  expect(audit.cuts.length).toBeGreaterThan(0)
}
