import type { Clock } from '@blockferry/runtime'
import { aborted, KiB } from '@blockferry/runtime'

/** What `PUT /v1/link` sets. */
export interface LinkSettings {
  /** False: the link is cut. Connections stay open and silent, as on a dead link. */
  readonly up: boolean
  /** Capacity of each direction; null is unlimited. */
  readonly bytesPerSecond: number | null
  /** Added to each direction, so a round trip takes twice this. */
  readonly latencyMs: number
}

/** Most bytes that pass in one piece, so that a slow link flows instead of jumping. */
export const pieceBytesMax = 64 * KiB
/** A bucket never saves up more than this much time of capacity. */
const burstMsMax = 50

/**
 * One emulated link, shared by all connections: up or cut, a capacity per direction, a latency.
 * Changing it wakes whoever waits for it.
 */
export class Link {
  #settings: LinkSettings
  #changed = Promise.withResolvers<void>()
  readonly #clock: Clock
  /** When the bytes sent so far will have passed, per direction. */
  readonly #clearAtMs = { forward: 0, backward: 0 }

  constructor(clock: Clock, settings: LinkSettings) {
    this.#clock = clock
    this.#settings = settings
  }

  get settings(): LinkSettings {
    return this.#settings
  }

  set(settings: LinkSettings): void {
    this.#settings = settings
    this.#clearAtMs.forward = 0
    this.#clearAtMs.backward = 0
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }

  /** Resolves once the link is up (or the connection is gone). */
  async whenUp(signal: AbortSignal): Promise<void> {
    while (!this.#settings.up && !signal.aborted) await Promise.race([this.#changed.promise, aborted(signal)])
  }

  /** Resolves when bytes that entered at `enteredAtMs` may leave: latency passed, capacity free, link up. */
  async pass(piece: {
    readonly direction: Direction
    readonly enteredAtMs: number
    readonly byteLength: number
    readonly signal: AbortSignal
  }): Promise<void> {
    await this.whenUp(piece.signal)
    const dueAtMs = Math.max(piece.enteredAtMs + this.#settings.latencyMs, this.#reserve(piece))
    const waitMs = dueAtMs - this.#clock.monotonicMs()
    if (waitMs > 0) await this.#clock.sleep(waitMs, piece.signal)
    await this.whenUp(piece.signal)
  }

  /** Takes the piece's share of the capacity and says when it has passed. */
  #reserve(piece: { readonly direction: Direction; readonly byteLength: number }): number {
    const { bytesPerSecond } = this.#settings
    if (bytesPerSecond === null) return 0
    const nowMs = this.#clock.monotonicMs()
    const earliestMs = Math.max(this.#clearAtMs[piece.direction], nowMs - burstMsMax)
    const clearAtMs = earliestMs + (piece.byteLength / bytesPerSecond) * 1000
    this.#clearAtMs[piece.direction] = clearAtMs
    return clearAtMs
  }
}

/** forward: from MirrorMaker to Kafka A. backward: the answers. */
export type Direction = 'forward' | 'backward'
