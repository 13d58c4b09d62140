import { type Disk, isOpenable } from '@blockferry/applier'
import type { Position } from '@blockferry/disk-stream'
import { assert } from '@blockferry/runtime'
import { decodeRecord } from '@blockferry/schemas'
import type { Hosts } from './faults.ts'
import type { Guests } from './guests.ts'
import { ReplayCursor } from './replay-cursor.ts'
import type { World } from './world.ts'

const positions = { topic: 'positions', kafkaPartition: 0 }

function isAtLeast(position: Position | null, other: Position): boolean {
  if (position === null) return false
  if (position.generation !== other.generation) return position.generation > other.generation
  return position.generationId === other.generationId && position.sequence >= other.sequence
}

/** What must hold at any moment: of offered images (G2, G3), of what was reported (R1), of the source (S4, S5). */
export class ImageCheck {
  imagesChecked = 0
  sourcesChecked = 0
  readonly #world: World
  readonly #hosts: Hosts
  readonly #guests: Guests
  readonly #targetReplays = new Map<string, ReplayCursor>()
  readonly #sourceReplays = new Map<string, ReplayCursor>()
  readonly #checked = new Map<string, string>()
  readonly #reported = new Map<string, Position>()
  #reportsRead = 0

  constructor(world: World, hosts: Hosts, guests: Guests) {
    this.#world = world
    this.#hosts = hosts
    this.#guests = guests
    for (const [diskId, { record }] of hosts.tap.disks) {
      this.#targetReplays.set(diskId, new ReplayCursor(record))
      this.#sourceReplays.set(diskId, new ReplayCursor(record))
    }
  }

  /** Everything that is offered now. `thorough`: also what was found right before at the same position. */
  offered(options: { readonly thorough: boolean }): void {
    const { applier } = this.#hosts.applier
    if (applier === null) return
    for (const disk of applier.volume.disks.values()) this.#image(disk, options)
    this.#groups([...applier.volume.disks.values()])
  }

  #image(disk: Disk, options: { readonly thorough: boolean }): void {
    const position = disk.applied.applied
    if (disk.applying || !isOpenable(disk) || position === null) return
    const key = `${position.generationId}.${position.sequence}`
    if (this.#checked.get(disk.diskId) === key && !options.thorough) return
    this.#checked.set(disk.diskId, key)
    const { diskId } = disk
    const replay = this.#targetReplays.get(diskId)
    assert(replay !== undefined, `${diskId} is a disk of this scenario`)
    const expected = replay.bytesAt(position)
    assert(replay.isWhole(position), `${diskId} is offered inside a resync`)
    const found = this.#hosts.applier.imageOf(diskId, expected.length)
    if (!found.equals(expected)) assert(false, `G2: ${diskId} at ${key}: ${firstDifference(found, expected)}`)
    this.imagesChecked += 1
  }

  /** G3: the images of a group stand at one cut, at exactly its positions. */
  #groups(disks: readonly Disk[]): void {
    const members = disks.filter((disk) => disk.groupId !== null)
    if (members.length < 2 || members.some((disk) => disk.applying || !isOpenable(disk))) return
    const cutIds = new Set(members.map((disk) => disk.cut?.cutId ?? null))
    // A member that came out of a resync stands at no cut: the group is not offered as one.
    if (cutIds.has(null)) return
    assert(cutIds.size === 1, `G3: the members of a group stand at different cuts: ${[...cutIds].join(', ')}`)
    const [cutId] = cutIds
    for (const disk of members) {
      const { applied } = disk.applied
      const event =
        applied === null ? undefined : this.#hosts.tap.disks.get(disk.diskId)?.record.at(applied)?.event
      const isCut = event?.kind === 'recoveryPoint' && event.cutId === cutId
      assert(isCut, `G3: ${disk.diskId} says it stands at cut ${cutId}, and does not`)
    }
  }

  /** What the target has told the source it holds. */
  noteReports(): void {
    const records = this.#world.clusterB.records(positions)
    for (const { value } of records.slice(this.#reportsRead)) {
      const any = decodeRecord(value)
      if (any.kind !== 'PositionReport' || any.record.received === null) continue
      const { diskId, received } = any.record
      const known = this.#reported.get(diskId)
      if (known === undefined || isAtLeast(received, known)) this.#reported.set(diskId, received)
    }
    this.#reportsRead = records.length
  }

  /** R1: a new incarnation of the applier holds all that was ever reported, whatever its host lost. */
  reopened(): void {
    this.noteReports()
    const { applier } = this.#hosts.applier
    if (applier === null) return
    this.#checked.clear()
    for (const [diskId, reported] of this.#reported) {
      const { applied } = applier.volume.disk(diskId).received
      const { generation, sequence } = reported
      const found = applied === null ? 'nothing' : `${applied.generation}.${applied.sequence}`
      assert(
        isAtLeast(applied, reported),
        `R1: ${diskId} reported ${generation}.${sequence} and holds ${found}`,
      )
    }
  }

  /** While nobody writes, a disk that streams holds what its stream says, byte by byte (S4, S5). */
  sources(): void {
    const serving = this.#hosts.tap.serving
    if (serving === null) return
    for (const status of serving.agent.statuses()) {
      const { diskId, numberedThrough, position, state } = status
      const inStep = state === 'STREAMING' || state === 'SPOOLING'
      const isQuiet =
        inStep && position?.sequence === numberedThrough && this.#guests.requestsOn(diskId) === 0
      if (!isQuiet) continue
      const expected = this.#sourceReplays.get(diskId)?.bytesAt(position)
      const found = this.#hosts.tap.sourceOf(diskId)
      if (expected === undefined || found.equals(expected)) this.sourcesChecked += 1
      else assert(false, `S4: ${diskId} differs from its stream: ${firstDifference(found, expected)}`)
    }
  }
}

export function firstDifference(found: Buffer, expected: Buffer): string {
  let at = 0
  while (at < expected.length && found[at] === expected[at]) at += 1
  const sector = Math.floor(at / 512)
  const tags = [found, expected].map((bytes) =>
    bytes.subarray(sector * 512, sector * 512 + 8).toString('hex'),
  )
  return `sector ${sector} (byte ${at}) is ${tags[0]}, should be ${tags[1]}`
}
