import { assert } from '@blockferry/runtime'
import type { MarkEvent } from './event.ts'
import { isMark } from './event.ts'
import { ExtentMap } from './extent-map.ts'
import type { FoldedExtent } from './extent-map.ts'
import type { Joint, SetExtent, UpdateSet, WriteGroup } from './records.ts'

/** Why a window closed. */
export type CloseReason = 'mark' | 'size' | 'time' | 'discontinuity' | 'budget' | 'shutdown'

/** An update set before packing: everything of it but how it is shipped. */
export interface FoldedSet extends Omit<UpdateSet, 'resumeInputOffset' | 'codec' | 'payloadCrc' | 'payload'> {
  /** The payload, uncompressed, in pieces: the data extents' bytes, one after another. */
  readonly data: readonly Buffer[]
  readonly dataBytes: number
  /** Input bytes this set holds in memory until `data` is packed (A3). */
  readonly copiedBytes: number
  readonly eventCount: number
  readonly closedBy: CloseReason
}

function headerOf(extent: FoldedExtent): SetExtent {
  const { byteOffset, byteLength } = extent
  return extent.kind === 'data'
    ? { kind: 'data', byteOffset, byteLength }
    : { kind: 'zero', byteOffset, byteLength, mayUnmap: extent.mayUnmap }
}

/** An independent copy outside Buffer's shared pool, so that it can be freed, and counted, by itself. */
function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.byteLength)
  bytes.copy(copy)
  return copy
}

/** The contiguous run of groups in an open window. Asserts W1; the caller has judged already. */
export class FoldingRun {
  readonly #first: WriteGroup
  readonly #map = new ExtentMap()
  readonly #joints: Joint[] = []
  #mark: MarkEvent | null = null
  #nextSequence: number
  #chain: number
  #rawBytes = 0
  #copiedBytes = 0
  #lastCapturedAtMs: number

  constructor(first: WriteGroup) {
    this.#first = { ...first, payload: Buffer.alloc(0), events: first.events.slice(0, 1) }
    this.#nextSequence = first.firstSequence
    this.#chain = first.chainBefore
    this.#lastCapturedAtMs = first.events[0]!.capturedAtMs
  }

  /** Bytes copied out of the groups' payloads. */
  get copiedBytes(): number {
    return this.#copiedBytes
  }

  get eventCount(): number {
    return this.#nextSequence - this.#first.firstSequence
  }

  /**
   * Adds a whole group, with the chain after each of its events; its payload is copied. Each event becomes a
   * joint: a writer that starts anew groups its events otherwise than before, so an applier may stand after
   * any of them (S9).
   */
  add(group: WriteGroup, chains: readonly number[]): void {
    assert(group.generation.id === this.#first.generation.id, 'W1: one generation')
    assert(group.firstSequence === this.#nextSequence, 'W1: numbers follow each other')
    assert(group.chainBefore === this.#chain, 'W1: the chain continues')
    assert(this.#mark === null, 'W3: a mark ends its window')
    assert(chains.length === group.events.length, 'every event has its chain')
    this.#addEvents(group)
    for (const chain of chains) {
      this.#joints.push({ sequence: this.#nextSequence, chain })
      this.#nextSequence += 1
    }
    this.#chain = group.chainAfter
  }

  fold(closedBy: CloseReason): FoldedSet {
    const first = this.#first
    const folded = this.#map.fold()
    const data = folded.flatMap((extent) => (extent.kind === 'data' ? extent.data : []))
    return {
      diskId: first.diskId,
      generation: first.generation,
      firstSequence: first.firstSequence,
      lastSequence: this.#nextSequence - 1,
      chainBefore: first.chainBefore,
      chainAfter: this.#chain,
      joints: this.#joints,
      firstCapturedAtMs: first.events[0]!.capturedAtMs,
      lastCapturedAtMs: this.#lastCapturedAtMs,
      rawBytes: this.#rawBytes,
      mark: this.#mark,
      extents: folded.map(headerOf),
      data,
      dataBytes: data.reduce((bytes, piece) => bytes + piece.byteLength, 0),
      copiedBytes: this.#copiedBytes,
      eventCount: this.eventCount,
      closedBy,
    }
  }

  #addEvents(group: WriteGroup): void {
    const payload = copyOf(group.payload)
    this.#copiedBytes += payload.byteLength
    let from = 0
    for (const event of group.events) {
      assert(this.#mark === null, 'W3: a mark ends its group')
      this.#lastCapturedAtMs = event.capturedAtMs
      if (event.kind === 'write') {
        const to = from + event.byteLength
        assert(to <= payload.byteLength, 'the payload of a group holds all its data')
        this.#map.write(event.byteOffset, payload.subarray(from, to))
        this.#rawBytes += event.byteLength
        from = to
      } else if (event.kind === 'zero') this.#map.zero(event, event)
      else if (isMark(event)) this.#mark = event
    }
    assert(from === payload.byteLength, 'the payload of a group holds nothing but its data')
  }
}
