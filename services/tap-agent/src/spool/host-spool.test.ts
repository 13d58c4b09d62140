import { GiB, MiB } from '@blockferry/runtime'
import { expect, test } from 'vitest'
import { HostSpool, type SpoolTenant, volumeKeepFreeBytes } from './host-spool.ts'

const segmentBytes = 16 * MiB

/** A spool of so many segments, of which those named may go. */
function tenant(segments: number, evictableSinceMs: readonly number[] = []): SpoolTenant {
  const unacknowledged = segments - evictableSinceMs.length
  return {
    allocatedBytes: segments * segmentBytes,
    segmentBytes,
    unacknowledgedBytes: unacknowledged * segmentBytes,
    evictableSinceMs: () => evictableSinceMs,
  }
}

function hostOf(
  tenants: readonly SpoolTenant[],
  volume: { sizeBytes: number; freeBytes: number; share?: number },
): HostSpool {
  const { share = 0.5 } = volume
  return new HostSpool({
    tenants: () => tenants,
    volume: async () => volume,
    share,
    onTrouble: (error) => expect.unreachable(String(error)),
  })
}

test('the budget is the share of the volume, or what others leave free of it when that is less (H2)', async () => {
  const roomy = hostOf([tenant(4)], { sizeBytes: 100 * GiB, freeBytes: 90 * GiB })
  await roomy.tend()
  expect(roomy.bytesMax).toBe(50 * GiB)
  const crowded = hostOf([tenant(4)], { sizeBytes: 100 * GiB, freeBytes: 2 * GiB })
  await crowded.tend()
  expect(crowded.bytesMax).toBe(4 * segmentBytes + 2 * GiB - volumeKeepFreeBytes)
  const full = hostOf([tenant(4)], { sizeBytes: 100 * GiB, freeBytes: 0 })
  await full.tend()
  expect(full.isFull()).toBe(true)
  expect(full.hasRoom()).toBe(false)
})

test('above half of it the oldest acknowledged segments go, over all disks, and no more than are needed (H1)', async () => {
  // The budget is 64 segments, half of it 32; these hold 36.
  const volume = { sizeBytes: 128 * segmentBytes, freeBytes: 92 * segmentBytes }
  const host = hostOf([tenant(20, [10, 30, 50, 70]), tenant(16, [20, 40, 60])], volume)
  await host.tend()
  expect(host.evictThroughMs).toBe(40)
  expect(host.isFull()).toBe(false)
  const calm = hostOf([tenant(20, [10]), tenant(12, [20])], volume)
  await calm.tend()
  expect(calm.evictThroughMs).toBe(-Infinity)
})

test('a volume that cannot be looked at leaves the last figure, and is told', async () => {
  let fails = false
  const troubles: unknown[] = []
  const host = new HostSpool({
    tenants: () => [tenant(4)],
    volume: async () => {
      if (fails) throw new Error('EIO')
      return { sizeBytes: 100 * GiB, freeBytes: 90 * GiB }
    },
    share: 0.5,
    onTrouble: (error) => troubles.push(error),
  })
  expect(host.hasRoom()).toBe(true)
  await host.tend()
  fails = true
  await host.tend()
  expect(host.bytesMax).toBe(50 * GiB)
  expect(troubles).toHaveLength(1)
})

test('a look at the volume that hangs is not joined by another, and keeps nothing from being planned', async () => {
  const evictable: number[] = []
  let looks = 0
  const spool: SpoolTenant = { ...tenant(40), evictableSinceMs: () => evictable }
  const host = new HostSpool({
    tenants: () => [spool],
    volume: () => {
      looks += 1
      if (looks === 1) return Promise.resolve({ sizeBytes: 128 * segmentBytes, freeBytes: 88 * segmentBytes })
      return new Promise(() => {})
    },
    share: 0.5,
    onTrouble: () => expect.unreachable(),
  })
  await host.tend()
  void host.tend()
  evictable.push(1, 2)
  await host.tend()
  expect(looks).toBe(2)
  expect(host.evictThroughMs).toBe(2)
})
