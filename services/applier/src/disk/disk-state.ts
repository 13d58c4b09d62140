import type { ApplierState } from '@blockferry/disk-stream'
import { catalogue } from '../error-catalogue.ts'
import type { Disk } from './disk.ts'

/*
 * States (R6):
 *
 *   WAITING ──first set──► RESYNCING ──resync done──► CONSISTENT
 *                              ▲                          │
 *                              └────── new resync ────────┘
 *   any ──start after a crash within an apply──► RECOVERING ──journal replayed──► as before
 *   any ◄──► HALTED(code)
 */

export interface DiskState {
  readonly state: ApplierState
  readonly code: string | null
  readonly nextCommand: string | null
}

export function stateOf(disk: Disk): DiskState {
  const { halt } = disk
  if (halt !== null) return { state: 'HALTED', code: halt.code, nextCommand: halt.nextCommand }
  return { state: runningStateOf(disk), ...warningOf(disk) }
}

function runningStateOf(disk: Disk): ApplierState {
  if (disk.torn) return 'RECOVERING'
  if (disk.received.applied === null) return 'WAITING'
  const resyncAhead = disk.resyncing || disk.frames.countBeforeResync !== null
  return resyncAhead || disk.applied.applied === null ? 'RESYNCING' : 'CONSISTENT'
}

/** Trouble that stops nothing yet, but that somebody should see. */
function warningOf(disk: Disk): Pick<DiskState, 'code' | 'nextCommand'> {
  const reason = disk.parked?.reason
  if (reason === 'share') return { code: 'JOURNAL_SHARE', nextCommand: catalogue.JOURNAL_SHARE.nextCommand }
  if (reason === 'descriptor') {
    return { code: 'DESCRIPTOR_MISSING', nextCommand: catalogue.DESCRIPTOR_MISSING.nextCommand }
  }
  return { code: null, nextCommand: null }
}

/**
 * True when the image is a prefix that could be opened now: no resync in it, no apply cut short in it (G2, G5),
 * and, in a group, at a cut (G3).
 */
export function isOpenable(disk: Disk): boolean {
  if (disk.applied.applied === null || isOffCut(disk)) return false
  return !disk.resyncing && !disk.torn && disk.haltedBy('image') === null
}

/** A member of a group that has not met the others since its resync, or had to go on without them (R3). */
function isOffCut(disk: Disk): boolean {
  return disk.groupId !== null && disk.cut === null
}

/** Worst first. */
const severity: readonly ApplierState[] = ['HALTED', 'RECOVERING', 'RESYNCING', 'WAITING', 'CONSISTENT']

/** A group is what its worst member is. */
export function groupStateOf(members: readonly Disk[]): ApplierState {
  const states = members.map((member) => stateOf(member).state)
  return severity.find((state) => states.includes(state)) ?? 'WAITING'
}
