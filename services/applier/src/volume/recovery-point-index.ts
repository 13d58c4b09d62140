import type { CompleteCut, Position } from '@blockferry/disk-stream'
import { codeOf } from '@blockferry/runtime'
import type { Lsn } from '@blockferry/segment-log'
import type { StreamBase } from '../disk/disk.ts'
import type { Journal } from './journal.ts'

/*
 * The recovery points of a volume (R9). Invariants:
 *
 * X1  `add` resolves only when its entries are durable; the checkpoint that covers them is written after.
 * X2  An entry is kept once, however often a replay adds it: its key is (cutId, positions).
 * X3  Bounded: beyond `entriesMax`, or when the log is full, the oldest go, from memory and, by whole segments,
 *     from disk. A full log never keeps a new point out.
 */

/** What stays when the oldest go: a tenth at a time, so that the array is not moved for every point. */
const trimKeeps = 0.9

export interface RecoveryPointMember {
  readonly diskId: string
  readonly position: Position
  /** Where the kept stream must still begin for this point to be replayed; null when unknown. */
  readonly base: StreamBase | null
}

export interface RecoveryPoint {
  readonly cutId: string
  readonly groupId: string | null
  readonly name: string | null
  readonly requestId: string | null
  /** Wall time of the cut at the source, ms. */
  readonly wallTimeMs: number
  readonly members: readonly RecoveryPointMember[]
}

export interface RecoveryPointQuery {
  readonly diskId?: string
  readonly groupId?: string
  /** Wall times of the cut, both inclusive, ms. */
  readonly fromMs?: number
  readonly toMs?: number
  /** At most so many, newest first. */
  readonly limit: number
  /** From the answer before; null for the first page. */
  readonly cursor: number | null
}

export interface RecoveryPointPage {
  readonly recoveryPoints: readonly RecoveryPoint[]
  /** Null at the end. */
  readonly nextCursor: number | null
}

interface Entry {
  readonly point: RecoveryPoint
  readonly lsn: Lsn
  /** Ascends for ever: paging stays right while points come and go. */
  readonly ordinal: number
}

/** The recovery point that a complete cut is. */
export function recoveryPointOf(
  cut: CompleteCut,
  baseOf: (diskId: string) => StreamBase | null,
): RecoveryPoint {
  const { cutId, groupId, name, requestId, wallTimeMs } = cut.cut
  const members = [...cut.positions].map(([diskId, position]) => {
    const base = baseOf(diskId)
    // A resync that arrived since does not lead to this point.
    return { diskId, position, base: base !== null && base.generation <= position.generation ? base : null }
  })
  return { cutId, groupId, name, requestId, wallTimeMs, members }
}

function keyOf(point: RecoveryPoint): string {
  const positions = point.members.map(
    ({ diskId, position }) => `${diskId}@${position.generation}.${position.sequence}`,
  )
  return `${point.cutId} ${positions.toSorted().join(' ')}`
}

function encode(point: RecoveryPoint): readonly Buffer[] {
  const members = point.members.map((member) => ({
    ...member,
    base: member.base === null ? null : { ...member.base, kafkaOffset: member.base.kafkaOffset.toString() },
  }))
  return [Buffer.from(JSON.stringify({ ...point, members }), 'utf8')]
}

function decode(body: Buffer): RecoveryPoint {
  type Stored = Omit<RecoveryPoint, 'members'> & {
    members: (Omit<RecoveryPointMember, 'base'> & {
      base: (Omit<StreamBase, 'kafkaOffset'> & { kafkaOffset: string }) | null
    })[]
  }
  const stored = JSON.parse(body.toString('utf8')) as Stored
  const members = stored.members.map((member) => ({
    ...member,
    base: member.base === null ? null : { ...member.base, kafkaOffset: BigInt(member.base.kafkaOffset) },
  }))
  return { ...stored, members }
}

export class RecoveryPointIndex implements AsyncDisposable {
  readonly #log: Journal
  readonly #entriesMax: number
  readonly #known = new Set<string>()
  #entries: Entry[] = []
  #nextOrdinal = 1

  constructor(log: Journal, entriesMax: number) {
    this.#log = log
    this.#entriesMax = entriesMax
  }

  /** Reads what earlier processes left. @throws LOG_CORRUPT */
  async load(): Promise<void> {
    // X1: what is found counts as known and is not added again, so it must not be in the page cache only.
    await this.#log.sync()
    await using reader = await this.#log.reader(this.#log.firstLsn)
    for (let frame = await reader.next(); frame !== null; frame = await reader.next()) {
      this.#remember(decode(frame.body), frame.lsn)
    }
    await this.#trim()
  }

  get count(): number {
    return this.#entries.length
  }

  /** The newest point that lists the disk; null when none. */
  newestOf(diskId: string): RecoveryPoint | null {
    const lists = (entry: Entry) => entry.point.members.some((member) => member.diskId === diskId)
    return this.#entries.findLast(lists)?.point ?? null
  }

  /** Makes the points durable (X1); those already known are left out (X2). */
  async add(points: readonly RecoveryPoint[]): Promise<void> {
    const fresh = points.filter((point) => !this.#known.has(keyOf(point)))
    if (fresh.length === 0) return
    const lsns = await this.#append(fresh.map(encode))
    for (const [index, point] of fresh.entries()) this.#remember(point, lsns[index] ?? 0)
    await this.#trim()
  }

  /** Newest first. */
  query(query: RecoveryPointQuery): RecoveryPointPage {
    const found: Entry[] = []
    for (let at = this.#entries.length - 1; at >= 0 && found.length <= query.limit; at -= 1) {
      const entry = this.#entries[at]
      if (entry === undefined) break
      if (query.cursor !== null && entry.ordinal >= query.cursor) continue
      if (matches(entry.point, query)) found.push(entry)
    }
    const more = found.length > query.limit
    const page = found.slice(0, query.limit)
    return {
      recoveryPoints: page.map((entry) => entry.point),
      nextCursor: more ? (page.at(-1)?.ordinal ?? null) : null,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#log[Symbol.asyncDispose]()
  }

  #remember(point: RecoveryPoint, lsn: Lsn): void {
    const key = keyOf(point)
    if (this.#known.has(key)) return
    this.#known.add(key)
    this.#entries.push({ point, lsn, ordinal: this.#nextOrdinal })
    this.#nextOrdinal += 1
  }

  /** X3. */
  async #append(bodies: readonly (readonly Buffer[])[]): Promise<readonly Lsn[]> {
    for (;;) {
      try {
        return await this.#log.append(bodies)
      } catch (error) {
        if (codeOf(error) !== 'LOG_FULL' || this.#entries.length === 0) throw error
        await this.#keepNewest(Math.floor(this.#entries.length * trimKeeps))
      }
    }
  }

  async #trim(): Promise<void> {
    if (this.#entries.length <= this.#entriesMax) return
    await this.#keepNewest(Math.floor(this.#entriesMax * trimKeeps))
  }

  async #keepNewest(keep: number): Promise<void> {
    const gone = this.#entries.splice(0, this.#entries.length - keep)
    for (const entry of gone) this.#known.delete(keyOf(entry.point))
    await this.#log.deleteBefore(this.#entries[0]?.lsn ?? this.#log.appendedThrough)
  }
}

function matches(point: RecoveryPoint, query: RecoveryPointQuery): boolean {
  if (query.groupId !== undefined && point.groupId !== query.groupId) return false
  if (query.fromMs !== undefined && point.wallTimeMs < query.fromMs) return false
  if (query.toMs !== undefined && point.wallTimeMs > query.toMs) return false
  return query.diskId === undefined || point.members.some((member) => member.diskId === query.diskId)
}
