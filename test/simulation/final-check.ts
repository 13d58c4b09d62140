import { stateOf } from '@blockferry/applier'
import type { Position } from '@blockferry/disk-stream'
import { assert } from '@blockferry/runtime'
import { decodeRecord } from '@blockferry/schemas'
import { checkNoSplitChange, checkOneInstant, completeCuts } from './cut-check.ts'
import type { Hosts } from './faults.ts'
import type { Guests } from './guests.ts'
import { firstDifference } from './image-check.ts'
import type { World } from './world.ts'

function isSame(a: Position | null | undefined, b: Position | null | undefined): boolean {
  if (a === null || a === undefined || b === null || b === undefined) return false
  return a.generationId === b.generationId && a.sequence === b.sequence
}

/** True when everything that was numbered is in the images and before a recovery point, and nothing more is on its way. */
export function isDrained(hosts: Hosts, guests: Guests): boolean {
  const agent = hosts.tap.serving?.agent
  const volume = hosts.applier.applier?.volume
  if (!guests.isDone || agent === undefined || volume === undefined) return false
  const statuses = agent.statuses()
  if (statuses.length < hosts.tap.disks.size) return false
  return statuses.every(({ diskId, numberedThrough, position, state }) => {
    const disk = volume.disks.get(diskId)
    const isQuiet = state === 'STREAMING' && position?.sequence === numberedThrough
    const last = position === null ? undefined : hosts.tap.disks.get(diskId)?.record.at(position)
    if (last?.event.kind !== 'recoveryPoint') return false
    return isQuiet && disk !== undefined && !disk.applying && isSame(disk.applied.applied, position)
  })
}

/** What must hold once a run has drained. */
export function checkDrained(world: World, hosts: Hosts, guests: Guests): void {
  checkBytes(hosts, guests)
  checkRecoveryPoints(world, hosts, guests)
  checkResyncs(world, hosts)
  for (const disk of hosts.applier.applier?.volume.disks.values() ?? []) {
    const { code, state } = stateOf(disk)
    assert(state === 'CONSISTENT', `${disk.diskId} is ${state} (${code}) after the drain`)
  }
}

/** Source, target and the guests' own memory agree. */
function checkBytes(hosts: Hosts, guests: Guests): void {
  for (const [diskId, model] of guests.models) {
    const source = hosts.tap.sourceOf(diskId)
    const target = hosts.applier.imageOf(diskId, source.length)
    if (!target.equals(source))
      assert(false, `${diskId}: the target differs: ${firstDifference(target, source)}`)
    model.check(source, { firstSector: 0, what: 'after the drain' })
  }
}

/**
 * R9: every complete cut that was numbered is in the index, and is a cut (G3). Where records are lost for good, their
 * re-send may be lost as well, and then a full resync is right: what it took the place of need not have arrived.
 */
function checkRecoveryPoints(world: World, hosts: Hosts, guests: Guests): void {
  const { recordsMayBeLost } = world.scenario.faults
  const { disks } = hosts.tap
  const index = hosts.applier.applier?.volume.index
  const known = new Set<string>()
  const indexed = index?.query({ limit: 100_000, cursor: null }).recoveryPoints ?? []
  for (const point of indexed) known.add(point.cutId)
  const cuts = completeCuts(disks)
  for (const numbered of cuts) {
    checkOneInstant(numbered, disks, guests)
    const where = [...numbered.positions.values()].map(
      ({ generation, sequence }) => `${generation}.${sequence}`,
    )
    const what = `the recovery point ${numbered.cut.cutId} of ${numbered.cut.members.join(', ')} at ${where.join(', ')}`
    const isOld = [...numbered.positions].some(([diskId, { generation }]) => {
      return generation < (hosts.tap.disks.get(diskId)?.record.eras.size ?? 0)
    })
    const isExcused = recordsMayBeLost && isOld
    assert(isExcused || known.has(numbered.cut.cutId), `R9: ${what} is not in the index`)
  }
  const numbered = new Map(cuts.map((cut) => [cut.cut.cutId, cut]))
  for (const point of indexed) {
    const cut = numbered.get(point.cutId)
    assert(cut !== undefined, `R9: ${point.cutId} is in the index and was never complete`)
    for (const { diskId, position } of point.members) {
      assert(isSame(position, cut.positions.get(diskId)), `R9: ${point.cutId} is elsewhere in ${diskId}`)
    }
  }
  for (const { record } of disks.values()) checkNoSplitChange(record)
}

/** G6: a resync has its reason, and so has a request for one. */
function checkResyncs(world: World, hosts: Hosts): void {
  const { recordsMayBeLost, spoolMayFill } = world.scenario.faults
  const allowed = new Set(['AWAITING_KAFKA'])
  if (spoolMayFill) allowed.add('SPOOL_FULL')
  if (recordsMayBeLost) allowed.add('RESYNC_REQUESTED')
  for (const code of hosts.tap.aheadCodes) assert(allowed.has(code), `G6: a disk went AHEAD for ${code}`)
  if (allowed.size === 1) {
    for (const { record } of hosts.tap.disks.values()) {
      const count = record.eras.size
      assert(count <= 1, `G6: ${record.diskId} has ${count} generations`)
    }
  }
  if (recordsMayBeLost) return
  for (const { value } of world.clusterB.records({ topic: 'requests', kafkaPartition: 0 })) {
    const any = decodeRecord(value)
    if (any.kind !== 'StreamRequest') continue
    assert(
      false,
      `G6: the target asked for a ${any.record.kind} of ${any.record.diskId}: ${any.record.reason}`,
    )
  }
}
