import { closeSync, openSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, MiB } from '@blockferry/runtime'
import {
  AdaptiveWrites,
  adviseRandom,
  createDirectory,
  preallocate,
  readFully,
  syncData,
  syncDirectory,
  writeFully,
  zeroRange,
} from '@blockferry/storage'
import type { SegmentFile, SegmentFiles } from './segment-files.ts'

const zeroPieceBytesMax = 1 * MiB

export interface NodeSegmentFilesOptions {
  readonly directory: string
  /**
   * `pool`: writes run on the thread pool. `adaptive`: short ones on the calling thread, several times
   * cheaper per call, until the kernel throttles writers (see AdaptiveWrites). Default `pool`.
   */
  readonly writes?: 'pool' | 'adaptive'
}

/** The directory of a log on a file system, created when missing. */
export async function openNodeSegmentFiles(options: NodeSegmentFilesOptions): Promise<SegmentFiles> {
  const { directory, writes = 'pool' } = options
  await createDirectory(directory)
  const pathOf = (name: string): string => join(directory, name)
  return {
    list: () => readdir(directory),
    create: async (name, byteLength) => {
      const fd = openSync(pathOf(name), 'wx+')
      try {
        await preallocate(fd, { byteOffset: 0, byteLength })
      } catch (error) {
        closeSync(fd)
        await rm(pathOf(name), { force: true })
        throw error
      }
      return fileOf(fd, writes)
    },
    open: async (name, { readOnly }) => {
      const fd = openOrNull(pathOf(name), readOnly)
      return fd === null ? null : fileOf(fd, writes)
    },
    remove: (name) => rm(pathOf(name), { force: true }),
    sync: () => syncDirectory(directory),
  }
}

function openOrNull(path: string, readOnly: boolean): number | null {
  try {
    return openSync(path, readOnly ? 'r' : 'r+')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
}

function fileOf(fd: number, writes: 'pool' | 'adaptive'): SegmentFile {
  // A reader just behind the writer would otherwise pull the still unwritten rest of the segment into
  // the page cache, in large folios that make the writes to come slower (T2).
  adviseRandom(fd)
  const adaptive = new AdaptiveWrites(fd, { wholePagesOnly: false })
  let open = true
  return {
    read: (position, into) => readFully(fd, into, position),
    write:
      writes === 'pool'
        ? (position, data) => writeFully(fd, data, position)
        : (position, data) => adaptive.write(data, position),
    zero: (position, byteLength) => zeroBytes(fd, position, byteLength),
    sync: () => syncData(fd),
    close: async () => {
      if (open) closeSync(fd)
      open = false
    },
  }
}

async function zeroBytes(fd: number, position: number, byteLength: number): Promise<void> {
  if (byteLength === 0 || (await zeroRange(fd, { byteOffset: position, byteLength }))) return
  const zeroes = Buffer.alloc(Math.min(byteLength, zeroPieceBytesMax))
  for (let done = 0; done < byteLength; done += zeroes.length) {
    await writeFully(fd, [zeroes.subarray(0, Math.min(zeroes.length, byteLength - done))], position + done)
  }
}
