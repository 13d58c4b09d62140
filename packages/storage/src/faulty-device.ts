import type { Extent } from '@blockferry/disk-stream'
import type { BlockDevice } from './block-device.ts'
import type { Step } from './memory-medium.ts'

/*
 * Wrappers that make a good disk a bad one, after nbdkit's delay and error filters. Each wraps one
 * device and may wrap another wrapper.
 */

export type DeviceOperation = 'read' | 'write' | 'zero' | 'flush'

/** Which calls go wrong: asked before each, `nth` counts from 1 over all calls of that operation. */
export interface FaultPlan {
  (call: { readonly operation: DeviceOperation; readonly nth: number }): DeviceFailure | null
}

export interface DeviceFailure {
  /** As the kernel would say: EIO, ENOSPC. */
  readonly code: 'EIO' | 'ENOSPC'
  /** Do the first half of a write, then fail: what a full disk does. */
  readonly short?: boolean
}

/** Waits before every call. */
export function delayed(device: BlockDevice, wait: Step): BlockDevice {
  return around(device, async (_operation, proceed) => {
    await wait()
    await proceed()
  })
}

/** Fails the calls the plan names; the others pass. */
export function failing(device: BlockDevice, plan: FaultPlan): BlockDevice {
  const counts = { read: 0, write: 0, zero: 0, flush: 0 }
  return around(device, async (operation, proceed, firstHalf) => {
    counts[operation] += 1
    const failure = plan({ operation, nth: counts[operation] })
    if (failure === null) return proceed()
    if (failure.short === true) await firstHalf()
    throw Object.assign(new Error(`${failure.code}: ${operation} failed on purpose`), { code: failure.code })
  })
}

/** The nth write is cut short by the death of its process: half of it lands, `onTorn` is told, and it never returns. */
export function torn(
  device: BlockDevice,
  options: { readonly nth: number; readonly onTorn: () => void },
): BlockDevice {
  let writes = 0
  return around(device, async (operation, proceed, firstHalf) => {
    if (operation === 'write') writes += 1
    if (operation !== 'write' || writes !== options.nth) return proceed()
    await firstHalf()
    options.onTorn()
    return new Promise<never>(() => {})
  })
}

/** Gives every write to `write` instead; what it lets through it writes to the device itself. */
export function writingThrough(device: BlockDevice, write: BlockDevice['write']): BlockDevice {
  return { ...around(device, (_operation, proceed) => proceed()), write }
}

type Around = (
  operation: DeviceOperation,
  proceed: () => Promise<void>,
  firstHalf: () => Promise<void>,
) => Promise<void>

function around(device: BlockDevice, run: Around): BlockDevice {
  const nothing = (): Promise<void> => Promise.resolve()
  const close = (): Promise<void> => device.close()
  return {
    sizeBytes: device.sizeBytes,
    readOnly: device.readOnly,
    punchesHoles: device.punchesHoles,
    zeroesRanges: device.zeroesRanges,
    fileIdentity: device.fileIdentity,
    read: (byteOffset, into) => run('read', () => device.read(byteOffset, into), nothing),
    write: (byteOffset, data) => {
      const half = firstHalfOf(Buffer.concat(data))
      return run(
        'write',
        () => device.write(byteOffset, data),
        () => device.write(byteOffset, [half]),
      )
    },
    zero: (extent, options) => {
      const half: Extent = { byteOffset: extent.byteOffset, byteLength: halfOf(extent.byteLength) }
      return run(
        'zero',
        () => device.zero(extent, options),
        () => device.zero(half, options),
      )
    },
    flush: () => run('flush', () => device.flush(), nothing),
    allocations: (extent, entriesMax) => device.allocations(extent, entriesMax),
    allocatedBytes: () => device.allocatedBytes(),
    close,
    [Symbol.asyncDispose]: close,
  }
}

function firstHalfOf(data: Buffer): Buffer {
  return data.subarray(0, halfOf(data.length))
}

/** Half a length in whole sectors, which is where real devices tear. */
function halfOf(byteLength: number): number {
  return Math.floor(byteLength / 1024) * 512
}
