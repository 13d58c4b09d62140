import { waitForDrained } from '@blockferry/cli'
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
