import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf, Fault, type Random } from '@blockferry/runtime'
import { createDirectory, openRawFile, type RawFile, replaceFile } from '@blockferry/storage'
import { catalogue } from './error-catalogue.ts'
import { applierFault } from './faults.ts'
import type { ImageIdentity, OpenImage, OpenImageRequest, TargetImages } from './ports.ts'

/*
 * Raw files as target images (R4). Beside each image stands `IMAGE.blockferry`, which names its disk: an
 * image that says it is another disk's, that has another size, or that the checkpoint does not know, is
 * refused and never written.
 */

/** Where images are: paths of their own, else a directory for all. */
export interface TargetImageOptions {
  readonly paths: ReadonlyMap<string, string>
  /** `DIRECTORY/<disk>.raw` for disks without a path of their own; null: there are no such disks. */
  readonly directory: string | null
  readonly random: Random
}

/** A disk id that cannot leave its directory. */
const safeName = /^[A-Za-z0-9][A-Za-z0-9._-]*$/

interface Label {
  readonly diskId: string
  readonly imageId: string
}

export function createTargetImages(options: TargetImageOptions): TargetImages {
  const pathOf = (diskId: string): string | null => {
    const own = options.paths.get(diskId)
    if (own !== undefined) return own
    return options.directory === null || !safeName.test(diskId)
      ? null
      : join(options.directory, `${diskId}.raw`)
  }
  return {
    pathOf,
    open: async (request) => {
      const path = pathOf(request.diskId)
      if (path === null) {
        throw applierFault('TARGET_NOT_CONFIGURED', `no target is configured for disk ${request.diskId}`)
      }
      return openImage(path, request, options.random)
    },
  }
}

async function openImage(path: string, request: OpenImageRequest, random: Random): Promise<OpenImage> {
  const { sizeBytes, expected } = request
  const found = await stat(path).catch(noneWhenMissing)
  if (found === null && expected !== null) {
    throw applierFault('IMAGE_MISSING', `${path} is gone; the checkpoint holds a position of it`)
  }
  if (found === null) await createDirectory(dirname(path))
  const label = found === null ? null : await readLabel(path)
  refuseOther(path, label, request)
  const device = await openFile(path, found === null ? sizeBytes : null)
  try {
    await refuseUnfit(path, device, { request, label, existed: found !== null })
    const fileId = await fileIdOf(path)
    if (expected !== null) refuseReplaced(path, { expected, fileId, label })
    const imageId = expected?.imageId ?? random.hex(16)
    if (expected === null) await writeLabel(path, { diskId: request.diskId, imageId })
    return { device, identity: { imageId, fileId }, path, [Symbol.asyncDispose]: () => device.close() }
  } catch (error) {
    await device.close()
    throw error
  }
}

function refuseOther(path: string, label: Label | null, request: OpenImageRequest): void {
  if (label === null || label.diskId === request.diskId) return
  const details = { path, diskId: request.diskId, imageOf: label.diskId }
  throw applierFault('IMAGE_OF_OTHER_DISK', `${path} is the image of disk ${label.diskId}`, { details })
}

async function openFile(path: string, createSizeBytes: number | null): Promise<RawFile> {
  try {
    return await openRawFile({
      path,
      readOnly: false,
      ...(createSizeBytes === null ? {} : { createSizeBytes }),
    })
  } catch (error) {
    if (error instanceof Fault && error.code === 'DISK_LOCKED') {
      const nextCommand = catalogue.TARGET_LOCKED.nextCommand.replace('IMAGE', path)
      throw applierFault('TARGET_LOCKED', error.message, {
        cause: error,
        nextCommand,
        details: error.details,
      })
    }
    throw error
  }
}

async function refuseUnfit(
  path: string,
  device: RawFile,
  facts: { readonly request: OpenImageRequest; readonly label: Label | null; readonly existed: boolean },
): Promise<void> {
  const { sizeBytes, expected } = facts.request
  if (device.sizeBytes !== sizeBytes) {
    const details = { path, sizeBytes: device.sizeBytes, expectedBytes: sizeBytes }
    const message = `${path} has ${device.sizeBytes} bytes, the disk ${sizeBytes}`
    throw applierFault('IMAGE_WRONG_SIZE', message, { details })
  }
  const unknown = facts.existed && expected === null && facts.label === null
  if (unknown && (await device.allocatedBytes()) > 0) {
    throw applierFault('IMAGE_UNKNOWN', `${path} holds data and no label of an applier`, {
      details: { path },
    })
  }
}

/** R4: a file put in the image's place has another inode, or another label. */
function refuseReplaced(
  path: string,
  facts: { readonly expected: ImageIdentity; readonly fileId: string; readonly label: Label | null },
): void {
  const { expected, fileId, label } = facts
  if (label?.imageId === expected.imageId && fileId === expected.fileId) return
  const details = { path, expected, found: { imageId: label?.imageId ?? null, fileId } }
  throw applierFault('IMAGE_REPLACED', `${path} is not the file that was written before`, { details })
}

async function fileIdOf(path: string): Promise<string> {
  const { dev, ino } = await stat(path, { bigint: true })
  return `${dev}:${ino}`
}

function labelPath(path: string): string {
  return `${path}.blockferry`
}

async function readLabel(path: string): Promise<Label | null> {
  const text = await readFile(labelPath(path), 'utf8').catch(noneWhenMissing)
  if (text === null) return null
  try {
    return JSON.parse(text) as Label
  } catch (cause) {
    throw applierFault('IMAGE_UNKNOWN', `${labelPath(path)} cannot be read`, { cause, details: { path } })
  }
}

async function writeLabel(path: string, label: Label): Promise<void> {
  await replaceFile(labelPath(path), Buffer.from(`${JSON.stringify(label)}\n`, 'utf8'))
}

function noneWhenMissing(error: unknown): null {
  if (codeOf(error) === 'ENOENT') return null
  throw error
}
