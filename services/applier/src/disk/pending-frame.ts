import type { Lineage, MarkEvent, Position } from '@blockferry/disk-stream'
import type { Lsn } from '@blockferry/segment-log'

/** A set that is durable in the redo journal and not yet in the image. Its data stay in the journal. */
export interface PendingFrame {
  /** Where the journal holds it; copying forward moves it. */
  lsn: Lsn
  /** Place in this disk's run of accepted sets since the process started: 0, 1, 2 … */
  readonly ordinal: number
  /** Bytes of this frame and all before it, since ordinal 0. */
  readonly bytesThrough: number
  readonly bytes: number
  readonly end: Position
  /** The lineage with this set accepted: what the checkpoint claims once it is applied. */
  readonly lineage: Lineage
  readonly transition: 'none' | 'switch' | 'resync'
  readonly mark: MarkEvent | null
  /** Events that it added to the stream. */
  readonly events: number
  readonly firstCapturedAtMs: number
  readonly lastCapturedAtMs: number
  readonly kafkaOffset: bigint
}

/** The frames of a disk that wait for its image, oldest first. */
export class PendingFrames {
  readonly #frames: PendingFrame[] = []
  #bytesThrough = 0
  #nextOrdinal = 0
  #bytesDone = 0
  /** Ordinals of waiting frames that start a resync, and of those that end one. */
  #resyncStarts: number[] = []
  #resyncEnds: number[] = []

  get length(): number {
    return this.#frames.length
  }

  /** Bytes in the journal that belong to this disk. */
  get bytes(): number {
    return this.#bytesThrough - this.#bytesDone
  }

  get first(): PendingFrame | undefined {
    return this.#frames[0]
  }

  get last(): PendingFrame | undefined {
    return this.#frames.at(-1)
  }

  get all(): readonly PendingFrame[] {
    return this.#frames
  }

  /** How many frames, from the first on, come before the next start of a resync; null when none starts. */
  get countBeforeResync(): number | null {
    return this.#countTo(this.#resyncStarts[0])
  }

  /** How many frames, from the first on, it takes to reach the first `resync done` after `count` frames; null when none waits. */
  countThroughResyncDone(count: number): number | null {
    const from = (this.first?.ordinal ?? 0) + count
    const reached = this.#countTo(this.#resyncEnds.find((ordinal) => ordinal >= from))
    return reached === null ? null : reached + 1
  }

  /** How many frames, from the first on, end at or before a position; they ascend. */
  countThrough(position: Position): number {
    let low = 0
    let high = this.#frames.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (isBeyond(this.#frames[middle]!.end, position)) high = middle
      else low = middle + 1
    }
    return low
  }

  push(frame: Omit<PendingFrame, 'ordinal' | 'bytesThrough'>): void {
    this.#bytesThrough += frame.bytes
    if (frame.transition === 'resync') this.#resyncStarts.push(this.#nextOrdinal)
    if (frame.mark?.kind === 'resyncDone') this.#resyncEnds.push(this.#nextOrdinal)
    this.#frames.push({ ...frame, ordinal: this.#nextOrdinal, bytesThrough: this.#bytesThrough })
    this.#nextOrdinal += 1
  }

  /** The first `count` frames. */
  head(count: number): readonly PendingFrame[] {
    return this.#frames.slice(0, count)
  }

  /** Journal bytes of the first `count` frames. */
  bytesOf(count: number): number {
    const last = this.#frames[count - 1]
    return last === undefined ? 0 : last.bytesThrough - this.#bytesDone
  }

  /** Takes off the first `count` frames: they are in the image. */
  drop(count: number): void {
    const last = this.#frames[count - 1]
    if (last !== undefined) this.#bytesDone = last.bytesThrough
    this.#frames.splice(0, count)
    const first = this.#frames[0]?.ordinal ?? this.#nextOrdinal
    this.#resyncStarts = this.#resyncStarts.filter((ordinal) => ordinal >= first)
    this.#resyncEnds = this.#resyncEnds.filter((ordinal) => ordinal >= first)
  }

  #countTo(ordinal: number | undefined): number | null {
    return ordinal === undefined ? null : ordinal - (this.first?.ordinal ?? 0)
  }
}

function isBeyond(a: Position, b: Position): boolean {
  return a.generation === b.generation ? a.sequence > b.sequence : a.generation > b.generation
}
