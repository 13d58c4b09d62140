import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UsageFault } from '../exit-status.ts'
import { fault } from '../faults.ts'
import type { DiskOption } from './disk-option.ts'
import type { LabPaths } from './lab-directory.ts'

/** A disk of the lab, with everything settled that its option left open. */
export interface LabDisk {
  readonly id: string
  readonly sizeBytes: number
  readonly source: string
  readonly target: string
  readonly groupId: string | null
}

/**
 * Settles paths and sizes; creates the source file of a new disk, sparse. The tap agent's state tells a new one from a
 * known one whose source is gone: an empty file in its place would be copied over the target.
 * @throws SOURCE_SIZE_DIFFERS, SOURCE_MISSING; UsageFault when neither size nor source file is there.
 */
export function prepareDisk(option: DiskOption, paths: LabPaths): LabDisk {
  const source = option.source ?? join(paths.disks, `${option.id}.raw`)
  const target = option.target ?? join(paths.images, `${option.id}.raw`)
  const { groupId, id, sizeBytes } = option
  if (existsSync(source)) {
    const found = statSync(source).size
    if (sizeBytes !== null && sizeBytes !== found) {
      const what = `${source} holds ${found} bytes, --disk id=${id} asks for ${sizeBytes}`
      throw fault('SOURCE_SIZE_DIFFERS', what, { details: { source, found, expected: sizeBytes } })
    }
    return { id, sizeBytes: found, source, target, groupId }
  }
  if (sizeBytes === null) {
    throw new UsageFault('start', [
      `--disk id=${id}: ${source} does not exist; expected size=1G to create it`,
    ])
  }
  if (existsSync(join(paths.tapState, 'disks', id))) {
    throw fault('SOURCE_MISSING', `${source} of disk ${id} is gone`, { details: { source } })
  }
  mkdirSync(dirname(source), { recursive: true })
  const file = openSync(source, 'wx')
  ftruncateSync(file, sizeBytes)
  closeSync(file)
  return { id, sizeBytes, source, target, groupId }
}
