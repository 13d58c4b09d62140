/*
 * Recovery points (S6).
 *
 * Invariant C1: the mark is numbered in every member within one synchronous tick, or in none.
 * Invariant C2: no cut while a member is out of step; no automatic one when nothing was numbered since the last, nor
 * while the last one still waits for a spool.
 */
import type { RecoveryPointEvent } from '@blockferry/disk-stream'
import { assert, type Clock, type Random } from '@blockferry/runtime'
import { fault } from '../error-catalogue.ts'

/** Requests remembered, so that a repeated one answers with the same cut. */
export const cutRequestsMax = 1024

/** A disk, as far as cuts are concerned. */
export interface CuttableDisk {
  readonly inStep: boolean
  /** The cut that nothing was numbered after; null when something was, or nothing was ever cut. */
  readonly cutAtEnd: string | null
  cut(mark: Omit<RecoveryPointEvent, 'kind' | 'capturedAtMs'>): Promise<boolean>
}

/** A consistency group, or a disk alone. */
export interface CutGroup {
  /** Null for a disk alone. */
  readonly groupId: string | null
  /** Sorted. */
  readonly members: readonly string[]
}

export interface RecoveryPoint {
  readonly cutId: string
  readonly groupId: string | null
  readonly members: readonly string[]
  readonly name: string | null
  readonly requestId: string | null
  readonly wallTimeMs: number
}

export interface CutSchedulerDeps {
  readonly clock: Clock
  readonly random: Random
  /** By group id, or disk id for a disk alone. */
  readonly groups: ReadonlyMap<string, CutGroup>
  /** Undefined while the disk is not served. */
  readonly diskOf: (diskId: string) => CuttableDisk | undefined
  readonly onCut: (point: RecoveryPoint, isWhole: boolean) => void
}

export class CutScheduler {
  readonly #deps: CutSchedulerDeps
  readonly #requests = new Map<string, Promise<RecoveryPoint>>()
  readonly #underway = new Set<CutGroup>()

  constructor(deps: CutSchedulerDeps) {
    this.#deps = deps
  }

  /** One automatic round over all groups; resolves when their marks are in the spools, or lost. */
  async cutDue(): Promise<void> {
    const cuts: Promise<unknown>[] = []
    for (const group of this.#deps.groups.values()) {
      if (this.#underway.has(group)) continue
      const disks = this.#membersInStep(group)
      if (disks === null || standAtOneCut(disks)) continue
      const { whole } = this.#cut(group, { disks, name: null, requestId: null })
      this.#underway.add(group)
      cuts.push(whole.finally(() => this.#underway.delete(group)))
    }
    await Promise.all(cuts)
  }

  /**
   * Cuts a recovery point by name, at once; the same request id answers with the same point.
   * @throws UNKNOWN_GROUP, CUT_NOT_POSSIBLE, CUT_LOST
   */
  async cutNow(
    id: string,
    request: { name: string | null; requestId: string | null },
  ): Promise<RecoveryPoint> {
    const known = request.requestId === null ? undefined : this.#requests.get(request.requestId)
    if (known !== undefined) return known
    const made = this.#cutNow(id, request)
    if (request.requestId !== null) this.#remember(request.requestId, made)
    return made
  }

  async #cutNow(
    id: string,
    request: { name: string | null; requestId: string | null },
  ): Promise<RecoveryPoint> {
    const group = this.#deps.groups.get(id)
    if (group === undefined) throw fault('UNKNOWN_GROUP', `no group ${id}`, { details: { groupId: id } })
    const disks = this.#membersInStep(group)
    if (disks === null) {
      throw fault('CUT_NOT_POSSIBLE', `a member of ${id} is not STREAMING or SPOOLING`, {
        details: { members: group.members },
      })
    }
    const { point, whole } = this.#cut(group, { disks, ...request })
    if (!(await whole)) throw fault('CUT_LOST', `the cut ${point.cutId} of ${id} is void`)
    return point
  }

  #remember(requestId: string, made: Promise<RecoveryPoint>): void {
    this.#requests.set(requestId, made)
    // A refused request changes nothing, so it may be repeated.
    made.catch(() => this.#requests.delete(requestId))
    const [oldest] = this.#requests.keys()
    if (this.#requests.size > cutRequestsMax && oldest !== undefined) this.#requests.delete(oldest)
  }

  #membersInStep(group: CutGroup): readonly CuttableDisk[] | null {
    const disks: CuttableDisk[] = []
    for (const diskId of group.members) {
      const disk = this.#deps.diskOf(diskId)
      if (disk?.inStep !== true) return null
      disks.push(disk)
    }
    return disks
  }

  /** C1: nothing in here awaits. */
  #cut(
    group: CutGroup,
    how: {
      readonly disks: readonly CuttableDisk[]
      readonly name: string | null
      readonly requestId: string | null
    },
  ): { readonly point: RecoveryPoint; readonly whole: Promise<boolean> } {
    assert(how.disks.length === group.members.length, 'every member is cut, or none')
    const point: RecoveryPoint = {
      cutId: this.#deps.random.hex(16),
      groupId: group.groupId,
      members: group.members,
      name: how.name,
      requestId: how.requestId,
      wallTimeMs: Math.floor(this.#deps.clock.wallMs()),
    }
    const appended = how.disks.map((disk) => disk.cut(point))
    const whole = Promise.all(appended).then((results) => {
      const isWhole = results.every(Boolean)
      this.#deps.onCut(point, isWhole)
      return isWhole
    })
    return { point, whole }
  }
}

/** After a kill one member's spool may hold a cut that another's lost: then they do not. */
function standAtOneCut(disks: readonly CuttableDisk[]): boolean {
  const [first, ...others] = disks.map(({ cutAtEnd }) => cutAtEnd)
  return typeof first === 'string' && others.every((cutId) => cutId === first)
}

/** The groups of a list of disks: a disk without a group is one of its own. */
export function groupsOf(
  disks: readonly { readonly diskId: string; readonly groupId: string | null }[],
): ReadonlyMap<string, CutGroup> {
  const groups = new Map<string, CutGroup>()
  for (const { diskId, groupId } of disks) {
    const members = groupId === null ? [] : (groups.get(groupId)?.members ?? [])
    groups.set(groupId ?? diskId, { groupId, members: [...members, diskId].toSorted() })
  }
  return groups
}
