import { dirname, join } from 'node:path'
import { KiB, MiB } from '@blockferry/runtime'
import { systemRandom } from '@blockferry/runtime/service'
import { openSegmentLog, sharedPublishedLength } from '@blockferry/segment-log'
import {
  createDirectory,
  explainError,
  openControlSlots,
  openRawFile,
  openSlotFile,
} from '@blockferry/storage'
import type { TapDiskDeps } from './disk/disk-ports.ts'
import type { ConfiguredDisk } from './disk-list.ts'
import { fault } from './error-catalogue.ts'

/** A log keeps the segment size it was made with, so this is no setting. */
export const spoolSegmentBytes = 16 * MiB
/** A control record is under 3 KiB; one slot is a page's multiple. */
export const controlSlotBytes = 8 * KiB

/** `STATE/disks/ID/{spool/,control}`. */
export function spoolDirectory(stateDirectory: string, diskId: string): string {
  return join(stateDirectory, 'disks', diskId, 'spool')
}

/** The files of one disk: its source, its spool, its control slots. */
export function diskStorage(place: {
  readonly directory: string
  readonly disk: ConfiguredDisk | undefined
  readonly published: SharedArrayBuffer
  readonly spoolBytesMax: number
}): Pick<TapDiskDeps, 'openDevice' | 'openSpool' | 'openSlots'> {
  const { directory, disk, published, spoolBytesMax } = place
  if (disk === undefined) throw fault('UNKNOWN_DISK', 'the disk is not configured')
  const diskDirectory = join(directory, 'disks', disk.diskId)
  return {
    openDevice: ({ mayCreate }) => explaining(dirname(disk.source), () => openSource(disk, mayCreate)),
    openSlots: () =>
      explaining(directory, async () => {
        await createDirectory(diskDirectory)
        const file = openSlotFile(join(diskDirectory, 'control'))
        return openControlSlots({ file, slotBytes: controlSlotBytes, whenLost: 'begin-anew' })
      }),
    openSpool: (scanFromLsn) =>
      explaining(directory, () =>
        openSegmentLog({
          directory: spoolDirectory(directory, disk.diskId),
          limits: { segmentBytes: spoolSegmentBytes, bytesMax: spoolBytesMax },
          random: systemRandom,
          published: sharedPublishedLength(published),
          writes: 'adaptive',
          ...(scanFromLsn === undefined ? {} : { scanFrom: scanFromLsn }),
        }),
      ),
  }
}

/** What the kernel refuses about `path`, with what to do next. */
async function explaining<T>(path: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open()
  } catch (error) {
    throw explainError(error, path)
  }
}

async function openSource(disk: ConfiguredDisk, mayCreate: boolean) {
  const { sizeBytes, source } = disk
  const device = await openRawFile({
    path: source,
    readOnly: false,
    ...(sizeBytes === null || !mayCreate ? {} : { createSizeBytes: sizeBytes }),
  })
  if (sizeBytes === null || device.sizeBytes === sizeBytes) return device
  const found = device.sizeBytes
  await device.close()
  throw fault('SOURCE_SIZE_INVALID', `${source} has ${found} bytes, size= says ${sizeBytes}`)
}
