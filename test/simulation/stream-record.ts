import {
  advanceChain,
  type Generation,
  initialChain,
  type Position,
  type StreamEvent,
} from '@blockferry/disk-stream'
import { assert } from '@blockferry/runtime'
import type { Lsn, SegmentLog } from '@blockferry/segment-log'
import { createFrameDecoder } from '../../services/tap-agent/src/spool/frame.ts'
import { tagAt } from './guest-model.ts'

/*
 * Everything a tap ever numbered of one disk, taken from the frames on their way into the spool.
 *
 * Invariant N1: the list of a generation is what its spool holds, plus at most the frames of one append that
 *   a kill cut short: what is numbered anew after them replaces them.
 */

export interface RecordedEvent {
  readonly event: StreamEvent
  readonly data: Buffer
  readonly chain: number
}

interface Era {
  readonly generation: Generation
  readonly events: RecordedEvent[]
}

/** Where a guest's write first stands in the stream. */
export interface Numbered {
  readonly generation: number
  readonly firstSequence: number
  lastSequence: number
  pieces: number
}

export class StreamRecord {
  readonly diskId: string
  readonly sizeBytes: number
  readonly eras = new Map<string, Era>()
  /** By the guest's tag. */
  readonly numbered = new Map<number, Numbered>()
  /** Tags of changes that were acknowledged without a number: before the tap came, or in AHEAD. */
  readonly #unnumbered = new Set<number>()
  readonly #decoder = createFrameDecoder()
  /** Grows with every change, so that a cached replay knows when it is stale. */
  revision = 0

  constructor(diskId: string, sizeBytes: number) {
    this.diskId = diskId
    this.sizeBytes = sizeBytes
  }

  get generations(): readonly Generation[] {
    return [...this.eras.values()].map((era) => era.generation)
  }

  /** Frames on their way to the spool. */
  take(bodies: readonly (readonly Buffer[])[], piecesOf: (tag: number) => number): void {
    for (const body of bodies) {
      const frame = this.#decoder.frame(Buffer.concat(body))
      const era = this.#eraOf(frame.generation)
      this.#truncate(era, frame.firstSequence)
      let chain = frame.chainBefore
      assert(chain === this.chainAt(era, frame.firstSequence - 1), `${this.diskId}: chains join in the spool`)
      let at = 0
      for (const event of frame.events) {
        const sequence = era.events.length + 1
        chain = advanceChain(chain, { sequence, event })
        const byteLength = event.kind === 'write' ? event.byteLength : 0
        const data = Buffer.from(frame.payload.subarray(at, at + byteLength))
        at += byteLength
        era.events.push({ event, data, chain })
        if (byteLength > 0) this.#note(tagAt(data), { era, sequence, piecesOf })
      }
    }
  }

  /** A change was acknowledged: what has no number by now never had one, and shows up only in read data. */
  acknowledged(tag: number): void {
    if (!this.numbered.has(tag)) this.#unnumbered.add(tag)
  }

  /** An event of the record; undefined beyond its end. */
  at(position: Pick<Position, 'generationId' | 'sequence'>): RecordedEvent | undefined {
    return this.eras.get(position.generationId)?.events[position.sequence - 1]
  }

  chainAt(era: Era, sequence: number): number {
    if (sequence === 0) return initialChain(era.generation.id)
    const event = era.events[sequence - 1]
    assert(
      event !== undefined,
      `${this.diskId}: generation ${era.generation.number} has no hole at ${sequence}`,
    )
    return event.chain
  }

  #eraOf(generation: Generation): Era {
    const known = this.eras.get(generation.id)
    if (known !== undefined) return known
    const era = { generation, events: [] }
    this.eras.set(generation.id, era)
    return era
  }

  /** N1. */
  #truncate(era: Era, firstSequence: number): void {
    if (era.events.length < firstSequence) return
    this.revision += 1
    era.events.length = firstSequence - 1
    for (const [tag, place] of this.numbered) {
      if (place.generation === era.generation.number && place.lastSequence >= firstSequence)
        this.numbered.delete(tag)
    }
  }

  #note(
    tag: number,
    where: { readonly era: Era; readonly sequence: number; readonly piecesOf: (tag: number) => number },
  ): void {
    const { number } = where.era.generation
    const known = this.numbered.get(tag)
    if (this.#unnumbered.has(tag)) return
    if (known === undefined) {
      const { sequence } = where
      this.numbered.set(tag, {
        generation: number,
        firstSequence: sequence,
        lastSequence: sequence,
        pieces: 1,
      })
      return
    }
    if (known.pieces >= where.piecesOf(tag) || known.generation !== number) return
    known.pieces += 1
    known.lastSequence = where.sequence
  }
}

/** A spool whose every append is recorded on its way. */
export function recordingLog(
  log: SegmentLog,
  onAppend: (bodies: readonly (readonly Buffer[])[]) => void,
): SegmentLog {
  return {
    get firstLsn(): Lsn {
      return log.firstLsn
    },
    get appendedThrough(): Lsn {
      return log.appendedThrough
    },
    get durableThrough(): Lsn {
      return log.durableThrough
    },
    get allocatedBytes(): number {
      return log.allocatedBytes
    },
    append: (bodies) => {
      onAppend(bodies)
      return log.append(bodies)
    },
    sync: () => log.sync(),
    reader: (lsn) => log.reader(lsn),
    deleteBefore: (lsn) => log.deleteBefore(lsn),
    restart: () => log.restart(),
    segmentStarts: () => log.segmentStarts(),
    close: () => log.close(),
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  }
}
