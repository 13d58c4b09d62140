import type { SegmentFile, SegmentFiles } from './segment-files.ts'

export type SegmentOperation = 'create' | 'write' | 'zero' | 'sync' | 'remove'

/** How a call goes wrong. */
export interface SegmentFailure {
  readonly code: 'EIO' | 'ENOSPC'
  /** Bytes of a write that land before it fails; more than it has means all of them. Default 0. */
  readonly landedBytes?: number
}

/** Asked before each call that can fail. */
export type SegmentFaultPlan = (operation: SegmentOperation) => SegmentFailure | null

/** Segment files of a volume that is full or fails, as the plan says. */
export function faultySegmentFiles(files: SegmentFiles, plan: SegmentFaultPlan): SegmentFiles {
  const check = (operation: SegmentOperation): void => {
    const failure = plan(operation)
    if (failure !== null) throw systemError(operation, failure)
  }
  return {
    list: () => files.list(),
    create: async (name, byteLength) => {
      check('create')
      return faultyFile(await files.create(name, byteLength), plan)
    },
    open: async (name, options) => {
      const file = await files.open(name, options)
      return file === null ? null : faultyFile(file, plan)
    },
    remove: async (name) => {
      check('remove')
      await files.remove(name)
    },
    sync: async () => {
      check('sync')
      await files.sync()
    },
  }
}

function faultyFile(file: SegmentFile, plan: SegmentFaultPlan): SegmentFile {
  return {
    read: (position, into) => file.read(position, into),
    write: async (position, data) => {
      const failure = plan('write')
      if (failure === null) return file.write(position, data)
      const landed = Buffer.concat(data).subarray(0, failure.landedBytes ?? 0)
      if (landed.length > 0) await file.write(position, [landed])
      throw systemError('write', failure)
    },
    zero: async (position, byteLength) => {
      const failure = plan('zero')
      if (failure !== null) throw systemError('zero', failure)
      await file.zero(position, byteLength)
    },
    sync: async () => {
      const failure = plan('sync')
      if (failure !== null) throw systemError('sync', failure)
      await file.sync()
    },
    close: () => file.close(),
  }
}

function systemError(operation: SegmentOperation, failure: SegmentFailure): Error {
  return Object.assign(new Error(`${failure.code}: ${operation} failed on purpose`), { code: failure.code })
}
