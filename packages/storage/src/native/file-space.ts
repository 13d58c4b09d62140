import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { codeOf } from '@blockferry/runtime'
import type { Extent } from '@blockferry/disk-stream'
import { fault } from '../error-catalogue.ts'
import { callAsync, lastErrno, libc, systemError } from './libc.ts'

const FALLOC_FL_KEEP_SIZE = 0x01
const FALLOC_FL_PUNCH_HOLE = 0x02
const FALLOC_FL_ZERO_RANGE = 0x10
const POSIX_FADV_RANDOM = 1
const POSIX_FADV_DONTNEED = 4
const SEEK_DATA = 3
const SEEK_HOLE = 4
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY

/**
 * Reserves the space of an extent and grows the file to hold it; it reads as zero. On the thread pool:
 * a file system may take milliseconds.
 * @throws ENOSPC and other system errors; FILE_SYSTEM_UNSUPPORTED where space cannot be reserved
 */
export async function preallocate(fd: number, extent: Extent): Promise<void> {
  try {
    await fallocate(fd, 0, extent)
  } catch (error) {
    if (!isUnsupported(error)) throw error
    throw fault('FILE_SYSTEM_UNSUPPORTED', 'the file system has no fallocate', { cause: error })
  }
}

/** Gives the space of an extent back; it reads as zero afterwards. False where the file system cannot. */
export function punchHole(fd: number, extent: Extent): Promise<boolean> {
  return supported(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, extent))
}

/** Makes an extent read as zero and keeps its space. False where the file system cannot. */
export function zeroRange(fd: number, extent: Extent): Promise<boolean> {
  return supported(fallocate(fd, FALLOC_FL_ZERO_RANGE, extent))
}

/** Turns read-ahead off: see T2 for what sequential reading costs later overwrites. */
export function adviseRandom(fd: number): void {
  const errno = libc().fadvise(fd, 0, 0, POSIX_FADV_RANDOM)
  if (errno !== 0) throw systemError('posix_fadvise', errno)
}

/** Takes a file's clean pages out of the page cache: what is read next is what the storage holds. */
export function dropPageCache(fd: number): void {
  const errno = libc().fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)
  if (errno !== 0) throw systemError('posix_fadvise', errno)
}

/** First byte at or after `byteOffset` that is data, or null when there is none up to the end of the file. */
export function seekData(fd: number, byteOffset: number): Promise<number | null> {
  return seek(fd, byteOffset, SEEK_DATA)
}

/** First byte at or after `byteOffset` that is in a hole (the end of the file counts as one), or null beyond the end. */
export function seekHole(fd: number, byteOffset: number): Promise<number | null> {
  return seek(fd, byteOffset, SEEK_HOLE)
}

/** Whether a file can give space back. Asks beyond the end of the file, where there is nothing to lose. */
export function probePunchHole(fd: number, sizeBytes: number): boolean {
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
  if (libc().fallocate(fd, mode, sizeBytes, 4096) === 0) return true
  const error = systemError('fallocate', lastErrno())
  if (isUnsupported(error)) return false
  throw error
}

/**
 * Whether the file system of a file zeroes ranges by itself. Asks a file without a name in the file's directory: beyond
 * the end of the file itself the question would leave space allocated. False where that cannot be asked.
 */
export function probeZeroRange(fd: number, directory: string): boolean {
  const nameless = openNameless(directory)
  if (nameless === null) return false
  try {
    const isSameFileSystem = fstatSync(nameless).dev === fstatSync(fd).dev
    return isSameFileSystem && libc().fallocate(nameless, FALLOC_FL_ZERO_RANGE, 0, 4096) === 0
  } finally {
    closeSync(nameless)
  }
}

function openNameless(directory: string): number | null {
  try {
    return openSync(directory, O_TMPFILE | constants.O_RDWR, 0o600)
  } catch {
    return null
  }
}

async function seek(fd: number, byteOffset: number, whence: number): Promise<number | null> {
  try {
    return await callAsync('lseek', libc().lseek, [fd, byteOffset, whence])
  } catch (error) {
    if (codeOf(error) === 'ENXIO') return null
    throw error
  }
}

function fallocate(fd: number, mode: number, extent: Extent): Promise<number> {
  return callAsync('fallocate', libc().fallocate, [fd, mode, extent.byteOffset, extent.byteLength])
}

async function supported(call: Promise<number>): Promise<boolean> {
  try {
    await call
    return true
  } catch (error) {
    if (isUnsupported(error)) return false
    throw error
  }
}

function isUnsupported(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'EOPNOTSUPP' || code === 'ENOTSUP' || code === 'ENOSYS'
}
