import type { SourceView } from '../disk/disk.ts'

/*
 * How old what is known of a source is (design §9: a stale sample never looks healthy). A heartbeat travels
 * behind the sets that were written before it, so one that was sent an hour ago means that the target lacks an
 * hour, even if it arrived this moment.
 */

export interface SourceTimes {
  /** Now, in the source's clock. */
  readonly sourceNowMs: number
  /** The latest that now can be in the source's clock: an echo that was itself held up leaves the skew in wide bounds. */
  readonly sourceNowMsMax: number
  readonly monotonicNowMs: number
  /** What is known is late when it is older: heartbeats come once a second. */
  readonly heartbeatDueMs: number
  /** The source counts as LATE or SILENT when it is older. */
  readonly sourceSilentMs: number
}

/** Since the newest heartbeat was sent, as far as clocks tell; at least since it arrived. */
export function knownAgeMs(source: SourceView, times: SourceTimes): number {
  const sinceSentMs = times.sourceNowMsMax - source.sourceTimeMs
  return Math.max(0, sinceSentMs, times.monotonicNowMs - source.arrivedMonotonicMs)
}

/** The same, or 0 while heartbeats are as young as they should be. */
export function lateByMs(source: SourceView, times: SourceTimes): number {
  const ageMs = knownAgeMs(source, times)
  return ageMs > times.heartbeatDueMs ? ageMs : 0
}

/** The state a source is shown in: not the one it was in when nobody knows what it is now. */
export function shownSourceState(source: SourceView, times: SourceTimes): string {
  const silent = times.monotonicNowMs - source.arrivedMonotonicMs > times.sourceSilentMs
  if (silent) return 'SILENT'
  return knownAgeMs(source, times) > times.sourceSilentMs ? 'LATE' : source.disk.state
}
