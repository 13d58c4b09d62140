import { KiB } from '@blockferry/runtime'
import { writeFully, writeFullyInline } from './positional-io.ts'

/*
 * Where a write into the page cache runs. A hop to the thread pool costs several times what the copy
 * costs, so a short write runs on the calling thread; but when the kernel throttles writers of dirty pages
 * it may block for tens of milliseconds, and every disk of the process with it (design section 11).
 *
 * Invariant A1: after an inline write that took t > `inlineMsMax`, none runs inline for `poolTimes` · t. So
 *   slow writes cost the loop at most one part in `poolTimes`, whether the kernel throttles for long or another
 *   process had the core for a moment.
 */

/** Longer writes go to the pool: copying them would hold up the loop even when nothing throttles. */
export const inlineBytesMax = 256 * KiB
/** A memory-speed write of `inlineBytesMax` takes a tenth of it. */
export const inlineMsMax = 1
export const poolTimes = 10
/** A write that covers whole pages never has to read one first. */
const pageBytes = 4096

export interface AdaptiveWritesOptions {
  /** True for a disk at random offsets: a partial page that is not cached is read first, so it goes to the pool. */
  readonly wholePagesOnly: boolean
  /** Monotonic ms; a parameter for tests. */
  readonly nowMs?: () => number
}

/** Writes of one descriptor, each at a position, whole or not at all; rejects with the system's error. */
export class AdaptiveWrites {
  readonly #fd: number
  readonly #wholePagesOnly: boolean
  readonly #nowMs: () => number
  #poolUntilMs = Number.NEGATIVE_INFINITY

  constructor(fd: number, options: AdaptiveWritesOptions) {
    this.#fd = fd
    this.#wholePagesOnly = options.wholePagesOnly
    this.#nowMs = options.nowMs ?? (() => performance.now())
  }

  async write(data: readonly Buffer[], position: number): Promise<void> {
    const startMs = this.#nowMs()
    if (startMs < this.#poolUntilMs || !this.#fitsInline(data, position)) {
      return writeFully(this.#fd, data, position)
    }
    writeFullyInline(this.#fd, data, position)
    const endMs = this.#nowMs()
    const tookMs = endMs - startMs
    if (tookMs > inlineMsMax) this.#poolUntilMs = endMs + poolTimes * tookMs
  }

  #fitsInline(data: readonly Buffer[], position: number): boolean {
    let byteLength = 0
    for (const buffer of data) byteLength += buffer.length
    if (byteLength > inlineBytesMax) return false
    return !this.#wholePagesOnly || (position % pageBytes === 0 && byteLength % pageBytes === 0)
  }
}
