import { closeSync, constants, fstat, fstatSync, openSync, realpathSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { assert, codeOf, MiB } from '@blockferry/runtime'
import type { Extent } from '@blockferry/disk-stream'
import type { Allocation, BlockDevice, FileIdentity } from './block-device.ts'
import { createSparseFile } from './durable-create.ts'
import { fault } from './error-catalogue.ts'
import { findLockHolder, tryLock } from './native/file-lock.ts'
import {
  adviseRandom,
  dropPageCache,
  probePunchHole,
  probeZeroRange,
  punchHole,
  zeroRange,
} from './native/file-space.ts'
import { AdaptiveWrites } from './adaptive-writes.ts'
import { readFully, syncData, writeFully } from './positional-io.ts'
import { scanAllocations } from './allocation-scan.ts'

/** Smallest unit of a disk; sizes are multiples of it. */
export const sectorBytes = 512
/** Largest piece in which zeroes are written where the file system cannot zero by itself. */
export const zeroPieceBytesMax = 1 * MiB

/** What the kernel says of a file, or a directory, that we may not write. */
const notWritable: readonly string[] = ['EACCES', 'EROFS', 'EPERM']

const fstatAsync = promisify(fstat)

export interface RawFileOptions {
  readonly path: string
  readonly readOnly: boolean
  /** Creates the file, sparse and of this size, when it is missing; a file that exists keeps its size. */
  readonly createSizeBytes?: number
}

/** A regular file as a disk. */
export interface RawFile extends BlockDevice {
  readonly path: string
  readonly fileIdentity: FileIdentity
}

/**
 * Opens a regular, usually sparse, file as a disk and keeps it locked until it is closed (T2, R4):
 * exclusively for writing, shared with other readers for reading.
 * @throws DISK_MISSING, DISK_KIND_UNSUPPORTED, DISK_SIZE_INVALID, DISK_READ_ONLY, DISK_LOCKED;
 *   system errors keep their codes
 */
export async function openRawFile(options: RawFileOptions): Promise<RawFile> {
  const { path, readOnly, createSizeBytes } = options
  if (createSizeBytes !== undefined && !readOnly && !exists(path)) {
    assertDiskSize(path, createSizeBytes)
    await createMissing(path, createSizeBytes)
  }
  refuseOtherKinds(path)
  const fd = openDescriptor(path, readOnly)
  try {
    const sizeBytes = fstatSync(fd).size
    assertDiskSize(path, sizeBytes)
    lock(fd, options)
    adviseRandom(fd)
    return new RawFileDevice(fd, {
      path,
      readOnly,
      sizeBytes,
      punchesHoles: !readOnly && probePunchHole(fd, sizeBytes),
      zeroesRanges: !readOnly && probeZeroRange(fd, dirname(realpathSync(path))),
      fileIdentity: identityOf(fd),
    })
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

async function createMissing(path: string, sizeBytes: number): Promise<void> {
  try {
    await createSparseFile(path, sizeBytes)
  } catch (error) {
    const code = codeOf(error)
    if (notWritable.includes(code)) throw readOnlyFault(path, error)
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    const message = `${path} cannot be created: its directory does not exist`
    throw fault('DISK_MISSING', message, { cause: error, details: { path } })
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

function identityOf(fd: number): FileIdentity {
  const { birthtimeNs, ino } = fstatSync(fd, { bigint: true })
  return { inode: String(ino), bornAtNs: birthtimeNs > 0n ? String(birthtimeNs) : null }
}

/** Before opening, for opening a pipe would wait for its other end. */
function refuseOtherKinds(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found === undefined) throw fault('DISK_MISSING', `${path} does not exist`, { details: { path } })
  if (found.isFile()) return
  throw fault('DISK_KIND_UNSUPPORTED', `${path} is not a regular file`, { details: { path } })
}

function openDescriptor(path: string, readOnly: boolean): number {
  // Root may write anything, yet a file nobody may write was meant to be left alone.
  if (!readOnly && (statSync(path).mode & 0o222) === 0) throw readOnlyFault(path)
  try {
    return openSync(path, readOnly ? constants.O_RDONLY : constants.O_RDWR)
  } catch (error) {
    throw notWritable.includes(codeOf(error)) && !readOnly ? readOnlyFault(path, error) : error
  }
}

function readOnlyFault(path: string, cause?: unknown): Error {
  return fault('DISK_READ_ONLY', `${path} cannot be written`, { cause, details: { path } })
}

function assertDiskSize(path: string, sizeBytes: number): void {
  if (sizeBytes > 0 && sizeBytes % sectorBytes === 0 && Number.isSafeInteger(sizeBytes)) return
  throw fault(
    'DISK_SIZE_INVALID',
    `${path} has ${sizeBytes} bytes, not a positive multiple of ${sectorBytes}`,
    {
      details: { path, sizeBytes },
    },
  )
}

function lock(fd: number, options: RawFileOptions): void {
  if (tryLock(fd, options.readOnly ? 'shared' : 'exclusive')) return
  const { path } = options
  const holder = findLockHolder(realpathSync(path), fd)
  throw fault(
    'DISK_LOCKED',
    `${path} is locked by ${holder === null ? 'another process' : `process ${holder}`}`,
    {
      details: { path, holder },
    },
  )
}

interface RawFileFacts {
  readonly path: string
  readonly readOnly: boolean
  readonly sizeBytes: number
  readonly punchesHoles: boolean
  readonly zeroesRanges: boolean
  readonly fileIdentity: FileIdentity
}

class RawFileDevice implements RawFile {
  readonly path: string
  readonly readOnly: boolean
  readonly sizeBytes: number
  readonly punchesHoles: boolean
  readonly zeroesRanges: boolean
  readonly fileIdentity: FileIdentity
  readonly #fd: number
  readonly #writes: AdaptiveWrites
  #flushFailure: unknown
  #closing: Promise<void> | undefined
  #underway = 0
  #idle: (() => void) | undefined

  constructor(fd: number, facts: RawFileFacts) {
    this.#fd = fd
    this.#writes = new AdaptiveWrites(fd, { wholePagesOnly: true })
    this.path = facts.path
    this.readOnly = facts.readOnly
    this.sizeBytes = facts.sizeBytes
    this.punchesHoles = facts.punchesHoles
    this.zeroesRanges = facts.zeroesRanges
    this.fileIdentity = facts.fileIdentity
  }

  read(byteOffset: number, into: Buffer): Promise<void> {
    this.#check({ byteOffset, byteLength: into.length })
    return this.#run(async () => {
      const count = await readFully(this.#fd, into, byteOffset)
      if (count === into.length) return
      const details = { path: this.path, byteOffset: byteOffset + count, sizeBytes: this.sizeBytes }
      throw fault(
        'DISK_SHRUNK',
        `${this.path} ends at ${byteOffset + count}, before its ${this.sizeBytes} bytes`,
        {
          details,
        },
      )
    })
  }

  write(byteOffset: number, data: readonly Buffer[]): Promise<void> {
    const byteLength = data.reduce((sum, buffer) => sum + buffer.length, 0)
    this.#checkWritable({ byteOffset, byteLength })
    return this.#run(() => this.#writes.write(data, byteOffset))
  }

  zero(extent: Extent, options: { readonly mayUnmap: boolean }): Promise<void> {
    this.#checkWritable(extent)
    return this.#run(async () => {
      if (extent.byteLength === 0) return
      if (options.mayUnmap && this.punchesHoles && (await punchHole(this.#fd, extent))) return
      if (await zeroRange(this.#fd, extent)) return
      await this.#writeZeroes(extent)
    })
  }

  flush(): Promise<void> {
    return this.#run(async () => {
      if (this.#flushFailure !== undefined) {
        const details = { path: this.path, code: codeOf(this.#flushFailure) }
        throw fault('DISK_FLUSH_FAILED', `${this.path} has to be reopened`, {
          cause: this.#flushFailure,
          details,
        })
      }
      try {
        await syncData(this.#fd)
      } catch (error) {
        // The kernel forgets that the pages are dirty: a second fdatasync would succeed and mean nothing.
        this.#flushFailure = error
        throw error
      }
    })
  }

  allocations(extent: Extent, entriesMax: number): Promise<readonly Allocation[]> {
    this.#check(extent)
    return this.#run(() => scanAllocations(this.#fd, extent, entriesMax))
  }

  allocatedBytes(): Promise<number> {
    return this.#run(async () => (await fstatAsync(this.#fd)).blocks * sectorBytes)
  }

  /**
   * Waits for the calls under way: a descriptor number closed under them could be reused for another file. After a
   * failed flush the page cache goes too: it shows what was written, the storage may hold what was there before (T7).
   */
  close(): Promise<void> {
    this.#closing ??= this.#drain().then(() => {
      try {
        if (this.#flushFailure !== undefined) dropPageCache(this.#fd)
      } finally {
        closeSync(this.#fd)
      }
    })
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #writeZeroes(extent: Extent): Promise<void> {
    const zeroes = Buffer.alloc(Math.min(extent.byteLength, zeroPieceBytesMax))
    for (let done = 0; done < extent.byteLength; done += zeroes.length) {
      const piece = zeroes.subarray(0, Math.min(zeroes.length, extent.byteLength - done))
      await writeFully(this.#fd, [piece], extent.byteOffset + done)
    }
  }

  #check(extent: Extent): void {
    assert(this.#closing === undefined, 'no call after close')
    assert(extent.byteOffset >= 0 && extent.byteLength >= 0, 'extents are not negative')
    assert(extent.byteOffset + extent.byteLength <= this.sizeBytes, 'extents end within the disk')
  }

  #checkWritable(extent: Extent): void {
    assert(!this.readOnly, 'a read-only disk is not written')
    this.#check(extent)
  }

  async #run<T>(call: () => Promise<T>): Promise<T> {
    assert(this.#closing === undefined, 'no call after close')
    this.#underway += 1
    try {
      return await call()
    } finally {
      this.#underway -= 1
      if (this.#underway === 0) this.#idle?.()
    }
  }

  async #drain(): Promise<void> {
    if (this.#underway > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
  }
}
