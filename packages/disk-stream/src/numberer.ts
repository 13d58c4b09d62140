import type { Clock } from '@blockferry/runtime'
import { assert } from '@blockferry/runtime'
import { advanceChain, initialChain } from './chain.ts'
import type { StreamEvent } from './event.ts'
import type { Position } from './position.ts'

/** Where a numberer stands: all that `rollBack` or a restart needs. JSON-safe. */
export interface StreamPoint {
  readonly sequence: number
  readonly chain: number
  /** Captured time of the event at `sequence`; 0 before the first. */
  readonly capturedAtMs: number
}

/** An event with its number, and the chain after it. */
export interface NumberedEvent<E extends StreamEvent = StreamEvent> {
  readonly sequence: number
  readonly chain: number
  readonly event: E
}

/** The point before the first event of a generation. */
export function startPoint(generationId: string): StreamPoint {
  return { sequence: 0, chain: initialChain(generationId), capturedAtMs: 0 }
}

/**
 * Gives events of one disk their numbers within one generation (S1, S4).
 *
 * Invariant N1: numbers are given without holes; what was rolled back had none (S4).
 * Invariant N2: captured times never decrease within the generation (S3), whatever the clock does: an event
 * that would go back in time carries the time of the one before it.
 */
export class StreamNumberer {
  readonly #generation: number
  readonly #generationId: string
  #sequence: number
  #chain: number
  #capturedAtMs: number

  /** Starts at `from`: by default the beginning of the generation; after a restart, the end of the spool. */
  constructor(generation: { readonly number: number; readonly id: string }, from?: StreamPoint) {
    const point = from ?? startPoint(generation.id)
    this.#generation = generation.number
    this.#generationId = generation.id
    this.#sequence = point.sequence
    this.#chain = point.chain
    this.#capturedAtMs = point.capturedAtMs
  }

  /** The position of the last numbered event. */
  get position(): Position {
    return {
      generation: this.#generation,
      generationId: this.#generationId,
      sequence: this.#sequence,
      chain: this.#chain,
    }
  }

  /** Numbers one event. `capturedAtMs` is rounded down to whole ms and lifted where N2 demands it. */
  number<E extends StreamEvent>(event: E): NumberedEvent<E> {
    const capturedAtMs = Math.max(Math.floor(event.capturedAtMs), this.#capturedAtMs)
    const timed = capturedAtMs === event.capturedAtMs ? event : { ...event, capturedAtMs }
    const sequence = this.#sequence + 1
    const chain = advanceChain(this.#chain, { sequence, event: timed })
    this.#sequence = sequence
    this.#chain = chain
    this.#capturedAtMs = capturedAtMs
    return { sequence, chain, event: timed }
  }

  /** A point to come back to if what is numbered next cannot be appended in full. */
  point(): StreamPoint {
    return { sequence: this.#sequence, chain: this.#chain, capturedAtMs: this.#capturedAtMs }
  }

  /** Takes back every number given since `point` (S4: what could not be appended in full has no number). */
  rollBack(point: StreamPoint): void {
    assert(point.sequence <= this.#sequence, 'a numberer only rolls back')
    this.#sequence = point.sequence
    this.#chain = point.chain
    this.#capturedAtMs = point.capturedAtMs
  }
}

/** Source time (S3): wall time read once, advanced by the monotonic clock; whole ms. */
export function anchorSourceTime(clock: Clock): () => number {
  const anchorMs = clock.wallMs() - clock.monotonicMs()
  return () => Math.floor(anchorMs + clock.monotonicMs())
}
