import { assert } from '@blockferry/runtime'
import type { Extent } from '@blockferry/disk-stream'
import type { Allocation, BlockDevice } from './block-device.ts'
import type { MemoryHandle, Step } from './memory-medium.ts'
import { MemoryMedium, noStep } from './memory-medium.ts'

const sectorBytes = 512

export interface MemoryDeviceOptions {
  /** The bytes, which outlive the device: open another one on them after a crash. */
  readonly medium?: MemoryMedium
  readonly sizeBytes: number
  readonly readOnly?: boolean
  readonly step?: Step
}

/**
 * A disk in memory for simulation and tests. A write takes effect in two halves with a step between, so
 * that a kill there leaves it torn; `medium.crash` decides what a crash leaves.
 */
export function openMemoryDevice(options: MemoryDeviceOptions): BlockDevice {
  assert(options.sizeBytes > 0 && options.sizeBytes % sectorBytes === 0, 'disks are whole sectors')
  return new MemoryDevice(options)
}

class MemoryDevice implements BlockDevice {
  readonly sizeBytes: number
  readonly readOnly: boolean
  readonly punchesHoles = true
  readonly zeroesRanges = true
  readonly fileIdentity = null
  readonly #medium: MemoryMedium
  readonly #handle: MemoryHandle

  constructor(options: MemoryDeviceOptions) {
    this.sizeBytes = options.sizeBytes
    this.readOnly = options.readOnly ?? false
    this.#medium = options.medium ?? new MemoryMedium()
    this.#handle = this.#medium.open(options.step ?? noStep)
  }

  async read(byteOffset: number, into: Buffer): Promise<void> {
    this.#check({ byteOffset, byteLength: into.length })
    await this.#handle.step()
    this.#medium.read(byteOffset, into)
    await this.#handle.step()
  }

  async write(byteOffset: number, data: readonly Buffer[]): Promise<void> {
    const whole = data.length === 1 ? data[0]! : Buffer.concat(data)
    this.#checkWritable({ byteOffset, byteLength: whole.length })
    await this.#handle.step()
    const half = Math.floor(whole.length / sectorBytes / 2) * sectorBytes
    if (half > 0) {
      this.#medium.write(byteOffset, whole.subarray(0, half))
      await this.#handle.step()
    }
    this.#medium.write(byteOffset + half, whole.subarray(half))
    await this.#handle.step()
  }

  async zero(extent: Extent, _options: { readonly mayUnmap: boolean }): Promise<void> {
    this.#checkWritable(extent)
    await this.#handle.step()
    this.#medium.zero(extent.byteOffset, extent.byteLength)
    await this.#handle.step()
  }

  async flush(): Promise<void> {
    const ticket = this.#medium.beginFlush()
    await this.#handle.step()
    this.#medium.endFlush(ticket)
    await this.#handle.step()
  }

  async allocations(extent: Extent, entriesMax: number): Promise<readonly Allocation[]> {
    this.#check(extent)
    await this.#handle.step()
    const entries: Allocation[] = []
    const end = extent.byteOffset + extent.byteLength
    let at = extent.byteOffset
    while (at < end && entries.length < entriesMax) {
      const isHole = this.#medium.isHole(at)
      const start = at
      while (at < end && this.#medium.isHole(at) === isHole) at = Math.min(end, nextSector(at))
      entries.push({ byteOffset: start, byteLength: at - start, kind: isHole ? 'hole' : 'data' })
    }
    return entries
  }

  async allocatedBytes(): Promise<number> {
    await this.#handle.step()
    return this.#medium.allocatedBytes
  }

  async close(): Promise<void> {
    this.#handle.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #check(extent: Extent): void {
    assert(extent.byteOffset >= 0 && extent.byteLength >= 0, 'extents are not negative')
    assert(extent.byteOffset + extent.byteLength <= this.sizeBytes, 'extents end within the disk')
  }

  #checkWritable(extent: Extent): void {
    assert(!this.readOnly, 'a read-only disk is not written')
    this.#check(extent)
  }
}

function nextSector(byteOffset: number): number {
  return (Math.floor(byteOffset / sectorBytes) + 1) * sectorBytes
}
