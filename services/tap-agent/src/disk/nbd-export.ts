import { NbdError, type NbdExport } from '@blockferry/nbd'
import type { TapDisk } from './tap-disk.ts'

/** A disk as an NBD export (T1, S7). The server has checked bounds, flags and lengths. */
export function nbdExportOf(disk: TapDisk): NbdExport {
  const { path } = disk
  return {
    name: disk.options.diskId,
    get sizeBytes() {
      return disk.sizeBytes
    },
    readOnly: false,
    read: (byteOffset, byteLength) => path.read(byteOffset, byteLength),
    write: (byteOffset, data, options) => path.change({ kind: 'write', byteOffset, data }, options),
    flush: () => path.flush(),
    trim: async (extent, options) => {
      // S7: where holes cannot be punched a TRIM changes nothing, so the stream has nothing to say either.
      if (!disk.device.punchesHoles) return
      await path.change({ kind: 'zero', ...extent, mayUnmap: true }, options)
    },
    writeZeroes: async (extent, options) => {
      const { punchesHoles, zeroesRanges } = disk.device
      if (options.fast && !zeroesRanges && !(options.mayUnmap && punchesHoles))
        throw new NbdError('ENOTSUP', 'zeroing is no faster here')
      await path.change({ kind: 'zero', ...extent, mayUnmap: options.mayUnmap }, options)
    },
    cache: () => Promise.resolve(),
    blockStatus: (extent, entriesMax) => path.allocations(extent, entriesMax),
  }
}
