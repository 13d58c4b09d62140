import { assert } from '@blockferry/runtime'
import { crc32 } from 'node:zlib'
import { initialChain } from '../chain.ts'
import type { Extent, StreamEvent, WriteEvent } from '../event.ts'
import { isMark } from '../event.ts'
import { unfoldSet } from '../extent-map.ts'
import type { Generation } from '../generation.ts'
import type { NumberedEvent } from '../numberer.ts'
import { StreamNumberer } from '../numberer.ts'
import type { Position } from '../position.ts'
import type { SetExtent, WriteGroup } from '../records.ts'
import type { Choose } from './choose.ts'

const noData = Buffer.alloc(0)

/** A disk as a byte array: the model everything is compared with. */
export class ByteModel {
  readonly bytes: Buffer

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  copy(): ByteModel {
    return new ByteModel(Buffer.from(this.bytes))
  }

  /** Marks change nothing. */
  apply(event: StreamEvent, data: Buffer): void {
    if (event.kind === 'write') data.copy(this.bytes, event.byteOffset)
    else if (event.kind === 'zero') this.zero(event)
  }

  /** Applies a set's extents, as an applier does. */
  applySet(extents: readonly SetExtent[], payload: Buffer): void {
    for (const piece of unfoldSet(extents, payload)) {
      if (piece.kind === 'data') piece.data.copy(this.bytes, piece.byteOffset)
      else this.zero(piece)
    }
  }

  zero(extent: Extent): void {
    this.bytes.fill(0, extent.byteOffset, extent.byteOffset + extent.byteLength)
  }
}

interface Entry {
  readonly numbered: NumberedEvent
  readonly data: Buffer
}

interface Era {
  readonly generation: Generation
  readonly numberer: StreamNumberer
  /** The source as the generation began. */
  readonly start: ByteModel
  readonly entries: Entry[]
}

/** Builds a write event over `data`. */
export function writeEvent(byteOffset: number, data: Buffer, capturedAtMs = 0): WriteEvent {
  return { kind: 'write', byteOffset, byteLength: data.byteLength, dataCrc: crc32(data), capturedAtMs }
}

/**
 * The source of one disk, whole: its bytes, and every event of every generation, so that any part of the
 * stream can be sent again and the bytes at any position are known.
 */
export class StreamModel {
  readonly diskId: string
  readonly source: ByteModel
  readonly #eras: Era[] = []

  constructor(options: { readonly diskId: string; readonly bytes: Buffer }) {
    this.diskId = options.diskId
    this.source = new ByteModel(options.bytes)
  }

  get generations(): readonly Generation[] {
    return this.#eras.map((era) => era.generation)
  }

  /** The last numbered event's position. */
  get end(): Position {
    return this.#current.numberer.position
  }

  begin(generation: Generation): void {
    this.#eras.push({
      generation,
      numberer: new StreamNumberer(generation),
      start: this.source.copy(),
      entries: [],
    })
  }

  /** The event happens at the source and is numbered. */
  append(event: StreamEvent, data: Buffer = noData): NumberedEvent {
    this.source.apply(event, data)
    const numbered = this.#current.numberer.number(event)
    this.#current.entries.push({ numbered, data: Buffer.from(data) })
    return numbered
  }

  write(byteOffset: number, data: Buffer, capturedAtMs = 0): NumberedEvent {
    return this.append(writeEvent(byteOffset, data, capturedAtMs), data)
  }

  /** Sync data (S8): what the source holds there, as an ordinary write. */
  syncRead(extent: Extent, capturedAtMs = 0): NumberedEvent {
    const { byteOffset, byteLength } = extent
    return this.write(
      byteOffset,
      Buffer.from(this.source.bytes.subarray(byteOffset, byteOffset + byteLength)),
      capturedAtMs,
    )
  }

  /** Happens at the source without a number (AHEAD). Nothing more may be numbered in this generation. */
  writeUnnumbered(byteOffset: number, data: Buffer): void {
    data.copy(this.source.bytes, byteOffset)
  }

  /** Events of a generation, ascending; the one with sequence s at index s − 1. */
  eventsOf(number: number): readonly NumberedEvent[] {
    return this.#era(number).entries.map((entry) => entry.numbered)
  }

  positionAt(number: number, sequence: number): Position {
    const { generation, entries } = this.#era(number)
    const chain = sequence === 0 ? initialChain(generation.id) : entries[sequence - 1]!.numbered.chain
    return { generation: number, generationId: generation.id, sequence, chain }
  }

  /** The source as it was right after the event at `position`. */
  bytesAt(position: Position): Buffer {
    const { start, entries } = this.#era(position.generation)
    const model = start.copy()
    for (const { numbered, data } of entries.slice(0, position.sequence)) model.apply(numbered.event, data)
    return model.bytes
  }

  /** One message: events `first` to `last` of a generation. */
  group(
    number: number,
    range: { readonly first: number; readonly last: number; readonly resend?: boolean },
  ): WriteGroup {
    const { generation, entries } = this.#era(number)
    const taken = entries.slice(range.first - 1, range.last)
    assert(taken.length === range.last - range.first + 1, 'a group holds events that the generation has')
    const payload = Buffer.concat(taken.map((entry) => entry.data))
    return {
      diskId: this.diskId,
      generation,
      resend: range.resend ?? false,
      firstSequence: range.first,
      chainBefore: this.positionAt(number, range.first - 1).chain,
      chainAfter: taken.at(-1)!.numbered.chain,
      events: taken.map((entry) => entry.numbered.event),
      payloadCrc: crc32(payload),
      payload,
    }
  }

  /** The generation from `from` to its end, in groups of chosen lengths; a mark ends its group (A2). */
  groups(
    number: number,
    options: { readonly from: number; readonly choose: Choose; readonly resend?: boolean },
  ): readonly WriteGroup[] {
    const { entries } = this.#era(number)
    const groups: WriteGroup[] = []
    let first = options.from
    while (first <= entries.length) {
      let last = first
      const wanted = first + options.choose(6)
      while (last < Math.min(wanted, entries.length) && !isMark(entries[last - 1]!.numbered.event)) last += 1
      groups.push(
        this.group(number, { first, last, resend: options.resend === true && first === options.from }),
      )
      first = last + 1
    }
    return groups
  }

  get #current(): Era {
    const era = this.#eras.at(-1)
    assert(era !== undefined, 'a stream has a generation before it has events')
    return era
  }

  #era(number: number): Era {
    const era = this.#eras.find(({ generation }) => generation.number === number)
    assert(era !== undefined, `the source has no generation ${number}`)
    return era
  }
}
