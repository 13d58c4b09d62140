/*
 * What one disk is opened from: its source, its spool, its control slots; and what they say of the past (T5, S5).
 */
import type { Position } from '@blockferry/disk-stream'
import type { SegmentLog, SegmentLogRecovery } from '@blockferry/segment-log'
import type { BlockDevice } from '@blockferry/storage'
import type { ControlRecord } from './control-record.ts'
import { ControlStore } from './control-store.ts'
import { rethrowAssertion } from './disk-modes.ts'
import type { TapDiskDeps, TapDiskOptions } from './disk-ports.ts'
import { type SpoolScan, scanSpool } from './recovery.ts'
import { type KnownSource, openSource } from './source.ts'

/** The open parts of one disk. */
export interface Opened {
  readonly device: BlockDevice
  readonly log: SegmentLog
  readonly recovery: SegmentLogRecovery
  readonly control: ControlStore
  readonly source: KnownSource
  /** The source is not the file last served. */
  readonly isReplaced: boolean
}

interface Closable {
  close(): Promise<void>
}

/** Opens all parts, or none. @throws what opening any of them throws */
export async function openParts(deps: TapDiskDeps): Promise<Opened> {
  const opened: Closable[] = []
  try {
    const slots = await deps.openSlots()
    opened.push(slots)
    const control = new ControlStore(slots, deps.bootId)
    const { bootId, durableThroughLsn, source: known } = control.current
    const { device, isReplaced, source } = await openSource(deps.openDevice, {
      known,
      mayCreate: control.isNew,
    })
    opened.push(device)
    // After a power loss anything past what was durable may be bad, not only the end (T3); so may all of it where
    // the slots do not say whether there was one.
    const isSameBoot = bootId === deps.bootId && control.damage === null
    const { log, recovery } = await deps.openSpool(isSameBoot ? undefined : durableThroughLsn)
    return { device, log, recovery, control, source, isReplaced }
  } catch (error) {
    await closeAll(opened)
    throw error
  }
}

/** Closes every part, also after one that cannot be closed; why the disk was not opened is told by its opener. */
export async function closeAll(parts: readonly Closable[]): Promise<void> {
  await Promise.allSettled(parts.map((part) => part.close()))
}

/** Reads the spool and says whether continuity is lost, and why (T5, S5). */
export async function examine(
  opened: Opened,
  disk: { readonly deps: TapDiskDeps; readonly options: TapDiskOptions },
): Promise<{ readonly scan: SpoolScan | null; readonly lostCode: string | null }> {
  const { control, isReplaced, log, recovery } = opened
  const { bootId, durableThroughLsn, cleanShutdown, generation } = control.current
  try {
    const scan = await scanSpool(log, disk.options.segmentBytes)
    const hostRestarted = bootId !== disk.deps.bootId && !cleanShutdown && !control.isNew
    const endsEarly = recovery.corruptAtLsn !== null || log.appendedThrough < durableThroughLsn
    const isNewer = (scan.last?.generation.number ?? 0) > (generation?.number ?? 0)
    if (control.damage !== null) return { scan, lostCode: control.damage }
    if (endsEarly || isNewer) return { scan, lostCode: 'SPOOL_CORRUPT' }
    if (isReplaced) return { scan, lostCode: 'SOURCE_REPLACED' }
    return { scan, lostCode: hostRestarted ? 'HOST_RESTARTED' : null }
  } catch (error) {
    rethrowAssertion(error)
    disk.deps.observer?.trouble?.(disk.options.diskId, error)
    return { scan: null, lostCode: control.damage ?? 'SPOOL_CORRUPT' }
  }
}

/** Where the spool ends; null when it is empty or cannot be read. */
export function positionOf(scan: SpoolScan | null): Position | null {
  if (scan?.last === null || scan === null) return null
  const { generation, state } = scan.last
  const { sequence, chain } = state.point
  return { generation: generation.number, generationId: generation.id, sequence, chain }
}

/** What the spool tells of the generation whose continuity is lost; the slots may know an older one, or none. */
export function lostRecord(control: ControlStore, scan: SpoolScan | null): Partial<ControlRecord> {
  const { generation, generationSeenMax } = control.current
  const inSpool = scan?.last?.generation ?? null
  const isNewer = (inSpool?.number ?? 0) > (generation?.number ?? 0)
  return {
    endPosition: positionOf(scan),
    generation: isNewer ? inSpool : generation,
    generationSeenMax: Math.max(generationSeenMax, inSpool?.number ?? 0),
  }
}

/** A corrupt spool was cut: what pointed beyond its end points to its end, so that it is not found corrupt again. */
export function clampedHints({ control, log }: Opened): Partial<ControlRecord> {
  const { durableThroughLsn, shipped } = control.current
  const lsnMax = log.appendedThrough
  return {
    durableThroughLsn: Math.min(durableThroughLsn, lsnMax),
    shipped: shipped === null ? null : { ...shipped, lsn: Math.min(shipped.lsn, lsnMax) },
  }
}
