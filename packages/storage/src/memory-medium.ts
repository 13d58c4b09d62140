import type { Random } from '@blockferry/runtime'
import { assert } from '@blockferry/runtime'
import { fault } from './error-catalogue.ts'

/** What a disk writes or loses as one. */
const sectorBytes = 512

/** Called before and after every effect; simulation interleaves, delays and kills here. */
export type Step = () => Promise<void>

/** No delay but a turn of the microtask queue. */
export const noStep: Step = () => Promise.resolve()

export interface CrashOptions {
  /** False: the process died, the page cache survives. A Random: power loss; each unflushed sector is kept or lost by a draw. */
  readonly loseUnflushed: false | Random
}

/** What a flush has promised to make durable: the sectors that were dirty when it began. */
export interface FlushTicket {
  readonly sectors: ReadonlyMap<number, { readonly version: number; readonly data: Buffer | null }>
}

/**
 * Bytes that survive their process, as a page cache over a disk: what was written, what of it is
 * durable, and which sectors are in between. Deterministic. Sectors never written read as zero.
 */
export class MemoryMedium {
  readonly #written = new Map<number, Buffer>()
  readonly #durable = new Map<number, Buffer>()
  /** Sector → number of its last write. */
  readonly #dirty = new Map<number, number>()
  #version = 0
  #incarnation = 0

  /** Fills `into` from `byteOffset`. */
  read(byteOffset: number, into: Buffer): void {
    this.#eachPiece(byteOffset, into.length, (piece) => {
      const target = into.subarray(piece.from, piece.from + piece.length)
      const sector = this.#written.get(piece.sector)
      if (sector === undefined) target.fill(0)
      else sector.copy(target, 0, piece.within)
    })
  }

  write(byteOffset: number, data: Buffer): void {
    this.#eachPiece(byteOffset, data.length, (piece) => {
      const sector = this.#written.get(piece.sector) ?? Buffer.alloc(sectorBytes)
      data.copy(sector, piece.within, piece.from, piece.from + piece.length)
      this.#set(piece.sector, sector)
    })
  }

  /** Zeroes an extent; whole sectors become holes. */
  zero(byteOffset: number, byteLength: number): void {
    this.#eachPiece(byteOffset, byteLength, (piece) => {
      const sector = this.#written.get(piece.sector)
      if (sector === undefined) return
      sector.fill(0, piece.within, piece.within + piece.length)
      this.#set(piece.sector, piece.length === sectorBytes ? null : sector)
    })
  }

  isHole(byteOffset: number): boolean {
    return !this.#written.has(Math.floor(byteOffset / sectorBytes))
  }

  get allocatedBytes(): number {
    return this.#written.size * sectorBytes
  }

  /** A flush covers what is dirty now; what is written while it flies stays dirty. */
  beginFlush(): FlushTicket {
    const sectors = new Map<number, { version: number; data: Buffer | null }>()
    for (const [sector, version] of this.#dirty) {
      const data = this.#written.get(sector)
      sectors.set(sector, { version, data: data === undefined ? null : Buffer.from(data) })
    }
    return { sectors }
  }

  endFlush(ticket: FlushTicket): void {
    for (const [sector, { version, data }] of ticket.sectors) {
      setOrDelete(this.#durable, sector, data)
      if (this.#dirty.get(sector) === version) this.#dirty.delete(sector)
    }
  }

  /** The process, or the host, dies: every handle becomes useless (see MemoryHandle). */
  crash(options: CrashOptions): void {
    this.#incarnation += 1
    const random = options.loseUnflushed
    if (random === false) return
    for (const sector of [...this.#dirty.keys()].toSorted((a, b) => a - b)) {
      if (random.uint32() % 2 === 0) setOrDelete(this.#durable, sector, copyOf(this.#written.get(sector)))
      else setOrDelete(this.#written, sector, copyOf(this.#durable.get(sector)))
    }
    this.#dirty.clear()
  }

  /** Bit rot, on the platter and in the cache. */
  flipBit(byteOffset: number, bit: number): void {
    const sector = Math.floor(byteOffset / sectorBytes)
    for (const map of [this.#written, this.#durable]) {
      const data = map.get(sector)
      if (data !== undefined) data[byteOffset % sectorBytes]! ^= 1 << bit
    }
  }

  /** A handle of the process that lives now. */
  open(step: Step): MemoryHandle {
    const incarnation = this.#incarnation
    return new MemoryHandle(step, () => this.#incarnation === incarnation)
  }

  #set(sector: number, data: Buffer | null): void {
    this.#version += 1
    this.#dirty.set(sector, this.#version)
    setOrDelete(this.#written, sector, data)
  }

  #eachPiece(byteOffset: number, byteLength: number, visit: (piece: SectorPiece) => void): void {
    let from = 0
    while (from < byteLength) {
      const sector = Math.floor((byteOffset + from) / sectorBytes)
      const within = (byteOffset + from) % sectorBytes
      const length = Math.min(sectorBytes - within, byteLength - from)
      visit({ sector, within, from, length })
      from += length
    }
  }
}

/** Ties calls to the process that made them: after its crash they neither act nor return. */
export class MemoryHandle {
  readonly #step: Step
  readonly #isAlive: () => boolean
  #closed = false

  constructor(step: Step, isAlive: () => boolean) {
    this.#step = step
    this.#isAlive = isAlive
  }

  /** A point at which simulation may switch tasks or kill. @throws DISK_CLOSED after a crash */
  async step(): Promise<void> {
    assert(!this.#closed, 'no call after close')
    await this.#step()
    if (!this.#isAlive()) throw fault('DISK_CLOSED', 'the process that made this call has crashed')
  }

  close(): void {
    this.#closed = true
  }
}

interface SectorPiece {
  readonly sector: number
  readonly within: number
  readonly from: number
  readonly length: number
}

function setOrDelete(map: Map<number, Buffer>, sector: number, data: Buffer | null): void {
  if (data === null) map.delete(sector)
  else map.set(sector, data)
}

function copyOf(data: Buffer | undefined): Buffer | null {
  return data === undefined ? null : Buffer.from(data)
}
