import type { Generation, NumberedEvent, StreamEvent } from '@blockferry/disk-stream'
import { MiB } from '@blockferry/runtime'
import { encodeFrame } from './frame.ts'

/** Payload of one frame: small enough to read back in one piece, large enough for QD 256 of 4 KiB. */
export const framePayloadBytesMax = 1 * MiB
/** Events of one frame. */
export const frameEventsMax = 4096

/** What a frame says besides its events; moves on from frame to frame. */
export interface FrameProgress {
  /** Sequence and chain of the event before the frame. */
  readonly sequence: number
  readonly chain: number
  /** Data bytes of the generation before it. */
  readonly rawBytes: number
  readonly syncCursorBytes: number
  readonly syncDone: boolean
}

/** A frame that was built, for the retention index. */
export interface BuiltFrame {
  readonly firstSequence: number
  readonly chainBefore: number
}

export interface FrameBuilderOptions {
  readonly generation: Generation
  /** As `encodeGeneration` made it. */
  readonly generationBlob: Buffer
  readonly from: FrameProgress
  /** Lowest unfinished sequence, or `nextSequence` when there is none (U1). */
  readonly lowestUnfinished: (nextSequence: number) => number
}

/** Packs numbered events into as few frames as their limits allow. */
export class FrameBuilder {
  readonly #options: FrameBuilderOptions
  readonly bodies: (readonly Buffer[])[] = []
  readonly frames: BuiltFrame[] = []
  #progress: FrameProgress
  #events: StreamEvent[] = []
  #data: Buffer[] = []
  #payloadBytes = 0
  #chain: number
  #syncCursorBytes: number
  #syncDone: boolean

  constructor(options: FrameBuilderOptions) {
    this.#options = options
    this.#progress = options.from
    this.#chain = options.from.chain
    this.#syncCursorBytes = options.from.syncCursorBytes
    this.#syncDone = options.from.syncDone
  }

  add(numbered: readonly NumberedEvent[], data: readonly Buffer[], syncCursorBytes?: number): void {
    let dataIndex = 0
    for (const { event, chain } of numbered) {
      const piece = event.kind === 'write' ? data[dataIndex++] : undefined
      const full = this.#payloadBytes + (piece?.length ?? 0) > framePayloadBytesMax
      if (full || this.#events.length >= frameEventsMax) this.#close()
      this.#events.push(event)
      if (piece !== undefined) {
        this.#data.push(piece)
        this.#payloadBytes += piece.length
      }
      this.#chain = chain
      if (event.kind === 'resyncDone') this.#syncDone = true
    }
    this.#syncCursorBytes = syncCursorBytes ?? this.#syncCursorBytes
  }

  /** Closes the last frame; what stands after it. */
  finish(): FrameProgress {
    this.#close()
    return this.#progress
  }

  #close(): void {
    if (this.#events.length === 0) return
    const { chain: chainBefore, rawBytes, sequence } = this.#progress
    const firstSequence = sequence + 1
    const lastSequence = sequence + this.#events.length
    const progress = { syncCursorBytes: this.#syncCursorBytes, syncDone: this.#syncDone }
    this.bodies.push(
      encodeFrame({
        ...progress,
        generationBlob: this.#options.generationBlob,
        firstSequence,
        lowestUnfinished: Math.min(this.#options.lowestUnfinished(lastSequence + 1), lastSequence + 1),
        rawBytesBefore: rawBytes,
        chainBefore,
        events: this.#events,
        data: this.#data,
      }),
    )
    this.frames.push({ firstSequence, chainBefore })
    this.#progress = {
      ...progress,
      sequence: lastSequence,
      chain: this.#chain,
      rawBytes: rawBytes + this.#payloadBytes,
    }
    this.#events = []
    this.#data = []
    this.#payloadBytes = 0
  }
}
