import type { CompleteCut, Position } from '@blockferry/disk-stream'
import type { Disk } from '../disk/disk.ts'

/*
 * How far the images of a unit advance next (R2, R3). Pure. Invariants:
 *
 * B1  A consistent member of a group ends a batch only at a complete cut, and all members of that cut end
 *     there together.
 * B2  A member that is between the start of a resync and its `resync done` advances by sets: its image is
 *     not offered anyway (G5), and the group has no cut meanwhile (S6).
 *     While that is so, or a member has yet to meet the others at a cut afterwards, the group offers nothing;
 *     so a member whose journal share is full then goes on by sets too, up to a cut that may still complete.
 *     Else it would never receive the cut at which all meet again.
 *     Neither passes a complete cut at which all will yet meet: a mate is on its way there through its own
 *     resync, and of a cut that was passed and not indexed a crash would forget one member's half.
 * B3  A batch takes at most `bytesMax` of journal, but always at least one set, or one cut.
 */

/** One disk's part of a batch: its first `frameCount` frames. */
export interface DiskBatch {
  readonly disk: Disk
  readonly frameCount: number
}

export interface BatchPlan {
  readonly disks: readonly DiskBatch[]
  /** Complete cuts that the images reach or pass: indexed before the checkpoint (R9). Oldest first. */
  readonly cuts: readonly CompleteCut[]
  /** The cut at which every grouped image of the batch stands afterwards; null for sets. */
  readonly endsAt: CompleteCut | null
}

export interface BatchLimits {
  readonly bytesMax: number
  /** Whether a cut that a member holds may still become complete. */
  readonly isPending: (cutId: string) => boolean
}

export const nothingToApply: BatchPlan = { disks: [], cuts: [], endsAt: null }

/** Plans the next batch of a disk alone: by sets. */
export function planDisk(
  disk: Disk,
  complete: readonly CompleteCut[],
  limits: Pick<BatchLimits, 'bytesMax'>,
): BatchPlan {
  const frameCount = countWithin(disk, disk.frames.length, limits)
  const end = disk.frames.all[frameCount - 1]?.end
  if (end === undefined) return nothingToApply
  const cuts = complete.filter((cut) => reaches(disk, cut, frameCount))
  return { disks: [{ disk, frameCount }], cuts, endsAt: null }
}

/** Plans the next batch of a group: to a complete cut, else by sets for members in a resync (B2). */
export function planGroup(
  members: readonly Disk[],
  complete: readonly CompleteCut[],
  limits: BatchLimits,
): BatchPlan {
  const reachable = complete.filter((cut) => canReach(members, cut))
  const target = reachable.findLast((cut) => fits(members, cut, limits)) ?? reachable[0]
  if (target === undefined) {
    const meetings = new Set(complete.filter((cut) => willMeet(members, cut)).map(({ cut }) => cut.cutId))
    const disks = [...planResyncs(members, meetings, limits), ...planFull(members, meetings, limits)]
    return { disks, cuts: [], endsAt: null }
  }
  const cuts = complete.slice(0, complete.indexOf(target) + 1)
  // A member that stands there already belongs to the batch: it is at this cut now.
  const disks = membersOf(members, target).map((disk) => ({ disk, frameCount: countTo(disk, target) }))
  return { disks, cuts, endsAt: target }
}

function planResyncs(
  members: readonly Disk[],
  meetings: ReadonlySet<string>,
  limits: BatchLimits,
): readonly DiskBatch[] {
  const disks: DiskBatch[] = []
  for (const disk of members) {
    const before = disk.resyncing ? 0 : disk.frames.countBeforeResync
    if (before === null) continue
    const through = disk.frames.countThroughResyncDone(before) ?? disk.frames.length
    const meeting = countBefore(disk, (cutId) => meetings.has(cutId))
    const frameCount = countWithin(disk, Math.min(through, meeting), limits)
    if (frameCount > 0) disks.push({ disk, frameCount })
  }
  return disks
}

/** B2: members at their share, in a group that offers nothing. */
function planFull(
  members: readonly Disk[],
  meetings: ReadonlySet<string>,
  limits: BatchLimits,
): readonly DiskBatch[] {
  if (!members.some((disk) => disk.resyncing || disk.cut === null)) return []
  const disks: DiskBatch[] = []
  for (const disk of members) {
    const inResync = disk.resyncing || disk.frames.countBeforeResync !== null
    if (disk.parked?.reason !== 'share' || inResync) continue
    const through = countBefore(disk, (cutId) => meetings.has(cutId) || limits.isPending(cutId))
    const frameCount = countWithin(disk, through, limits)
    if (frameCount > 0) disks.push({ disk, frameCount })
  }
  return disks
}

/** How many frames come before the first such cut; all when there is none. */
function countBefore(disk: Disk, isStop: (cutId: string) => boolean): number {
  const index = disk.frames.all.findIndex(({ mark }) => mark?.kind === 'recoveryPoint' && isStop(mark.cutId))
  return index === -1 ? disk.frames.length : index
}

/** All members are here, and none is beyond the cut. */
function willMeet(members: readonly Disk[], cut: CompleteCut): boolean {
  return [...cut.positions].every(([diskId, position]) => {
    const disk = members.find((member) => member.diskId === diskId)
    return disk !== undefined && !isBeyond(disk.applied.applied, position)
  })
}

/** A cut is out of reach while a member has a resync to get through first, is not here, or is beyond it. */
function canReach(members: readonly Disk[], cut: CompleteCut): boolean {
  for (const [diskId, position] of cut.positions) {
    const disk = members.find((member) => member.diskId === diskId)
    if (disk === undefined || disk.resyncing || isBeyond(disk.applied.applied, position)) return false
    const before = disk.frames.countBeforeResync
    if (before !== null && countTo(disk, cut) > before) return false
  }
  return true
}

function fits(members: readonly Disk[], cut: CompleteCut, limits: BatchLimits): boolean {
  let bytes = 0
  for (const disk of membersOf(members, cut)) bytes += disk.frames.bytesOf(countTo(disk, cut))
  return bytes <= limits.bytesMax
}

function membersOf(members: readonly Disk[], cut: CompleteCut): readonly Disk[] {
  return members.filter((disk) => cut.positions.has(disk.diskId))
}

function countTo(disk: Disk, cut: CompleteCut): number {
  const position = cut.positions.get(disk.diskId)
  return position === undefined ? 0 : disk.frames.countThrough(position)
}

function reaches(disk: Disk, cut: CompleteCut, frameCount: number): boolean {
  return countTo(disk, cut) <= frameCount
}

/** The most of the first `count` frames that keep to the limit, but at least one (B3). */
function countWithin(disk: Disk, count: number, limits: Pick<BatchLimits, 'bytesMax'>): number {
  if (count === 0 || disk.frames.bytesOf(count) <= limits.bytesMax) return count
  let low = 1
  let high = count
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (disk.frames.bytesOf(middle) <= limits.bytesMax) low = middle
    else high = middle - 1
  }
  return low
}

function isBeyond(applied: Position | null, position: Position): boolean {
  if (applied === null || applied.generation < position.generation) return false
  return applied.generation > position.generation || applied.sequence > position.sequence
}
