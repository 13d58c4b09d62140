import type { Random } from '@blockferry/runtime'
import type { Step } from '@blockferry/storage'
import { noStep } from '@blockferry/storage'
import { faultySegmentFiles, type SegmentFaultPlan } from './faulty-segment-files.ts'
import type { MemorySegmentDirectory } from './memory-segment-files.ts'
import type { OpenedSegmentLog, OpenSegmentLogOptions } from './open-segment-log.ts'
import { openSegmentLogOn } from './open-segment-log.ts'

export interface OpenMemorySegmentLogOptions extends OpenSegmentLogOptions {
  /** What survives: reopen the log on it after `directory.crash`. */
  readonly directory: MemorySegmentDirectory
  /** Awaited before and after every effect; simulation interleaves, delays and kills here. */
  readonly step?: Step
  /** Draws where a write is cut when a kill falls inside it; default: in the middle. */
  readonly tear?: Random
  /** Asked before each call that may fail; default: none does. */
  readonly faults?: SegmentFaultPlan
}

/**
 * The log in memory, for simulation: the very code of the log on disk, over simulated files. After a
 * crash of the process everything appended survives, the append under way in part at most on the medium
 * and so not in the log; after a power loss what was synced survives, and later sectors by a draw.
 */
export function openMemorySegmentLog(options: OpenMemorySegmentLogOptions): Promise<OpenedSegmentLog> {
  const { directory, faults, step = noStep, tear } = options
  const files = directory.open(step, tear)
  return openSegmentLogOn(faults === undefined ? files : faultySegmentFiles(files, faults), options)
}
