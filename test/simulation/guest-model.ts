import { assert } from '@blockferry/runtime'

/*
 * What a guest may find on its disk, sector by sector: a register per sector.
 *
 * Invariant M1: a sector holds a change that was issued and that no acknowledged change followed: one that
 *   was issued after the first had ended. What was cut short by a kill may be there or not, each sector alone.
 */

export const sectorBytes = 512

export interface GuestChange {
  /** Unique per change over all disks; 0 is the value of zeroes. */
  readonly tag: number
  readonly diskId: string
  readonly kind: 'write' | 'zero' | 'trim'
  readonly firstSector: number
  readonly sectors: number
  /** Order of issue and of end among all that guests did; Infinity while under way. */
  readonly issuedAt: number
  endedAt: number
  acknowledged: boolean
}

const initial: GuestChange = {
  tag: 0,
  diskId: '',
  kind: 'zero',
  firstSector: 0,
  sectors: 0,
  issuedAt: 0,
  endedAt: 0,
  acknowledged: true,
}

/** Content of a sector that a change wrote: never all zero, and different in every byte position that counts. */
export function sectorOf(tag: number, sector: number): Buffer {
  const data = Buffer.alloc(sectorBytes, (tag * 31 + sector * 7) & 0xff)
  data.writeUInt32LE(tag, 0)
  data.writeUInt32LE(sector, 4)
  return data
}

export function dataOf(
  tag: number,
  extent: { readonly firstSector: number; readonly sectors: number },
): Buffer {
  const data = Buffer.allocUnsafe(extent.sectors * sectorBytes)
  for (let at = 0; at < extent.sectors; at += 1)
    sectorOf(tag, extent.firstSector + at).copy(data, at * sectorBytes)
  return data
}

export function tagAt(data: Buffer, byteOffset = 0): number {
  return data.length >= byteOffset + 4 ? data.readUInt32LE(byteOffset) : 0
}

export class GuestModel {
  readonly diskId: string
  readonly sizeBytes: number
  /** Per sector: the changes that it may hold, in the order of issue. */
  readonly #candidates: GuestChange[][]

  constructor(diskId: string, sizeBytes: number) {
    this.diskId = diskId
    this.sizeBytes = sizeBytes
    this.#candidates = Array.from({ length: sizeBytes / sectorBytes }, () => [initial])
  }

  get sectors(): number {
    return this.#candidates.length
  }

  issue(change: GuestChange): void {
    for (const list of this.#listsOf(change)) list.push(change)
  }

  /** M1: what ended before this change was issued is gone. */
  acknowledge(change: GuestChange, order: number): void {
    change.endedAt = order
    change.acknowledged = true
    const { firstSector, sectors, issuedAt } = change
    for (let sector = firstSector; sector < firstSector + sectors; sector += 1) {
      const list = this.#candidates[sector] ?? []
      this.#candidates[sector] = list.filter((other) => other.endedAt >= issuedAt)
    }
  }

  /** What each sector of a range may hold now. */
  allowed(firstSector: number, sectors: number): readonly (readonly GuestChange[])[] {
    return this.#candidates.slice(firstSector, firstSector + sectors)
  }

  /** Fails unless every sector holds what it may; `before` adds what was allowed earlier, for a read under way. */
  check(
    found: Buffer,
    where: {
      readonly firstSector: number
      readonly what: string
      readonly before?: readonly (readonly GuestChange[])[]
    },
  ): void {
    const { firstSector, what } = where
    for (let at = 0; at * sectorBytes < found.length; at += 1) {
      const sector = firstSector + at
      const now = this.#candidates[sector] ?? []
      const candidates = where.before === undefined ? now : [...now, ...(where.before[at] ?? [])]
      const bytes = found.subarray(at * sectorBytes, (at + 1) * sectorBytes)
      const holds = candidates.some((change) => bytes.equals(valueOf(change, sector)))
      if (holds) continue
      const allowed = candidates.map(({ kind, tag }) => (kind === 'write' ? tag : kind)).join(', ')
      const text = `${what}: sector ${sector} of ${this.diskId} holds ${tagAt(bytes)}, not one of: ${allowed}`
      assert(false, text)
    }
  }

  #listsOf({ firstSector, sectors }: GuestChange): readonly GuestChange[][] {
    return this.#candidates.slice(firstSector, firstSector + sectors)
  }
}

const zeroes = Buffer.alloc(sectorBytes)

function valueOf(change: GuestChange, sector: number): Buffer {
  return change.kind === 'write' ? sectorOf(change.tag, sector) : zeroes
}
