import { assert } from '@blockferry/runtime'

/*
 * Delays of the last minute, for percentiles (design §9). Logarithmic bins: a percentile is right to
 * within 4 %, and a disk costs a few KiB however fast it writes.
 */

const windowS = 60
const sliceMs = 5_000
const sliceCount = (windowS * 1_000) / sliceMs
const growth = 1.04
/** Delays below 1 ms share the first bin, those above a day the last. */
const binCount = Math.ceil(Math.log(86_400_000) / Math.log(growth)) + 2

export interface DelayPercentiles {
  /** Null when no event arrived within the window. */
  readonly p50: number | null
  readonly p99: number | null
  readonly windowS: number
}

function binOf(delayMs: number): number {
  if (delayMs < 1) return 0
  return Math.min(1 + Math.floor(Math.log(delayMs) / Math.log(growth)), binCount - 1)
}

/** The upper edge of a bin, so that a percentile never looks better than it was. */
function delayOf(bin: number): number {
  return bin === 0 ? 1 : Math.round(growth ** bin * 10) / 10
}

interface Slice {
  readonly index: number
  readonly counts: Float64Array
}

/** Counts events by their delay, over the last 60 s. */
export class DelayWindow {
  #slices: Slice[] = []

  /** `weight` events had this delay; `nowMs` is monotonic. */
  record(delayMs: number, options: { readonly nowMs: number; readonly weight: number }): void {
    assert(delayMs >= 0, 'a delay is never negative (design §9)')
    const index = Math.floor(options.nowMs / sliceMs)
    let slice = this.#slices.at(-1)
    if (slice === undefined || slice.index !== index) {
      this.#drop(options.nowMs)
      slice = { index, counts: new Float64Array(binCount) }
      this.#slices.push(slice)
    }
    const bin = binOf(delayMs)
    slice.counts[bin] = (slice.counts[bin] ?? 0) + options.weight
  }

  percentiles(nowMs: number): DelayPercentiles {
    this.#drop(nowMs)
    const counts = new Float64Array(binCount)
    let total = 0
    for (const slice of this.#slices) {
      for (const [bin, count] of slice.counts.entries()) {
        counts[bin] = (counts[bin] ?? 0) + count
        total += count
      }
    }
    if (total === 0) return { p50: null, p99: null, windowS }
    return { p50: percentile(counts, total * 0.5), p99: percentile(counts, total * 0.99), windowS }
  }

  #drop(nowMs: number): void {
    const oldest = Math.floor(nowMs / sliceMs) - sliceCount
    if ((this.#slices[0]?.index ?? Infinity) <= oldest) {
      this.#slices = this.#slices.filter((slice) => slice.index > oldest)
    }
  }
}

function percentile(counts: Float64Array, rank: number): number {
  let seen = 0
  for (const [bin, count] of counts.entries()) {
    seen += count
    if (seen >= rank && count > 0) return delayOf(bin)
  }
  return delayOf(binCount - 1)
}
