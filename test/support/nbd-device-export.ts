import type { NbdExport } from '@blockferry/nbd'
import { NbdError } from '@blockferry/nbd'
import type { BlockDevice } from '@blockferry/storage'

/** A block device as an export, and nothing more: what the NBD server is judged with, before the tap stands behind it. */
export function exportDevice(name: string, device: BlockDevice): NbdExport {
  const flushAfter = async (done: Promise<void>, fua: boolean): Promise<void> => {
    await done
    if (fua) await device.flush()
  }
  return {
    name,
    description: `${name} (plain device)`,
    sizeBytes: device.sizeBytes,
    readOnly: device.readOnly,
    async read(byteOffset, byteLength) {
      const into = Buffer.allocUnsafeSlow(byteLength)
      await device.read(byteOffset, into)
      return into
    },
    write(byteOffset, data, { fua }) {
      const written = device.write(byteOffset, [data])
      return fua ? flushAfter(written, true) : written
    },
    flush: () => device.flush(),
    trim: (extent, { fua }) => flushAfter(device.zero(extent, { mayUnmap: true }), fua),
    async writeZeroes(extent, { fua, mayUnmap, fast }) {
      if (fast && !(mayUnmap && device.punchesHoles)) throw new NbdError('ENOTSUP', 'no fast zeroes here')
      await flushAfter(device.zero(extent, { mayUnmap }), fua)
    },
    cache: async () => undefined,
    blockStatus: (extent, entriesMax) => device.allocations(extent, entriesMax),
  }
}
