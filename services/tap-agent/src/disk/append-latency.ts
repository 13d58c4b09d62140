import { KiB } from '@blockferry/runtime'

/** p99 above this for `slowMsMin` means the state volume is too slow for the guest (T3). */
export const slowAppendMs = 20
export const slowMsMin = 5_000
/** What even a slow volume takes: an append of 4 MiB is not late after 20 ms. */
export const appendBytesPerMsMin = 50 * KiB

/** Late appends remembered per second; more than that is slow whatever they were. */
const lateMax = 1_024

/**
 * Decides SPOOL_SLOW. Fed with every append, asked once a second. What is measured from here holds three
 * things: the volume's time, the transfer of the bytes, and the wait of this thread for a processor. Only the
 * first is a reason to give up the spool, so the other two are taken off. An append under way counts with its
 * age: one that hangs for seconds leaves seconds without a completion, and they are not good ones.
 */
export interface AppendLatency {
  add(append: { readonly durationMs: number; readonly byteLength: number }): void
  /** True once more than one append in a hundred took over 20 ms in every second for 5 s. */
  second(now: {
    readonly monotonicMs: number
    readonly loopDelayMs: number
    readonly outstanding: OutstandingAppend | null
  }): boolean
}

/** An append that has not completed yet. */
export interface OutstandingAppend {
  readonly sinceMs: number
  readonly byteLength: number
}

export function createAppendLatency(): AppendLatency {
  let appends = 0
  let lateMs: number[] = []
  let slowSinceMs: number | null = null
  return {
    add({ byteLength, durationMs }) {
      appends += 1
      const ownMs = ownMsOf(durationMs, byteLength)
      if (ownMs > slowAppendMs && lateMs.length < lateMax) lateMs.push(ownMs)
    },
    second({ loopDelayMs, monotonicMs, outstanding }) {
      if (outstanding !== null) this.add({ ...outstanding, durationMs: monotonicMs - outstanding.sinceMs })
      const slowAppends = lateMs.filter((ownMs) => ownMs > slowAppendMs + loopDelayMs).length
      if (slowAppends * 100 <= appends) slowSinceMs = null
      else slowSinceMs ??= monotonicMs
      appends = 0
      lateMs = []
      return slowSinceMs !== null && monotonicMs - slowSinceMs >= slowMsMin
    },
  }
}

function ownMsOf(durationMs: number, byteLength: number): number {
  return durationMs - byteLength / appendBytesPerMsMin
}
