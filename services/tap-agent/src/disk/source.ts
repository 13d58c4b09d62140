/*
 * Invariant O1: a source is created for a disk that never was, and for no other: an empty file in the place of a
 * known source would stream on as if nothing had happened, or be copied over the target (G4).
 * Invariant O2: a source that is not the file last served is owed whole (T5); one of another size is refused.
 */
import { codeOf } from '@blockferry/runtime'
import type { BlockDevice, FileIdentity } from '@blockferry/storage'
import { fault } from '../error-catalogue.ts'
import type { TapDiskDeps } from './disk-ports.ts'

/** What the control slots remember of a source. */
export interface KnownSource {
  readonly sizeBytes: number
  readonly identity: FileIdentity | null
}

export interface OpenedSource {
  readonly device: BlockDevice
  readonly source: KnownSource
  /** True when it is another file than the one last served. */
  readonly isReplaced: boolean
}

/**
 * Opens the source of a disk that was served before, or (`mayCreate`) of a new one.
 * @throws SOURCE_MISSING, SOURCE_RESIZED, and what opening the device throws
 */
export async function openSource(
  openDevice: TapDiskDeps['openDevice'],
  disk: { readonly known: KnownSource | null; readonly mayCreate: boolean },
): Promise<OpenedSource> {
  const { known, mayCreate } = disk
  const device = await openDevice({ mayCreate }).catch((error: unknown) => {
    if (mayCreate || codeOf(error) !== 'DISK_MISSING') throw error
    throw fault('SOURCE_MISSING', 'the source of a disk that was served before is gone', { cause: error })
  })
  const source = { sizeBytes: device.sizeBytes, identity: device.fileIdentity }
  if (known !== null && known.sizeBytes !== source.sizeBytes) {
    await device.close()
    const message = `the source has ${source.sizeBytes} bytes, the disk had ${known.sizeBytes}`
    throw fault('SOURCE_RESIZED', message, {
      details: { found: source.sizeBytes, expected: known.sizeBytes },
    })
  }
  return { device, source, isReplaced: known !== null && isOther(known.identity, source.identity) }
}

/** What one of the two does not know tells nothing. */
function isOther(before: FileIdentity | null, now: FileIdentity | null): boolean {
  if (before === null || now === null) return false
  if (before.inode !== now.inode) return true
  return before.bornAtNs !== null && now.bornAtNs !== null && before.bornAtNs !== now.bornAtNs
}
