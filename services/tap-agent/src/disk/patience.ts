import type { Clock } from '@blockferry/runtime'

/**
 * Waits for `done`, however long it takes. When it is not done `limitMs` after `sinceMs`, `late` is called, once:
 * whoever cannot wait any longer is let go there. An aborted signal ends the watch, not the wait.
 */
export async function waitWithLimit<T>(
  done: Promise<T>,
  limit: {
    readonly clock: Clock
    readonly sinceMs: number
    readonly limitMs: number
    readonly signal: AbortSignal
    readonly late: () => void
  },
): Promise<T> {
  const { clock, late, limitMs, signal, sinceMs } = limit
  const settled = new AbortController()
  const stop = AbortSignal.any([settled.signal, signal])
  const leftMs = Math.max(0, sinceMs + limitMs - clock.monotonicMs())
  void clock.sleep(leftMs, stop).then(() => {
    if (!stop.aborted) late()
  })
  try {
    return await done
  } finally {
    settled.abort()
  }
}

/** Tries until it succeeds (true) or the signal aborts after a try (false), with back-off. */
export async function retried(
  attempt: () => Promise<void>,
  how: {
    readonly clock: Clock
    readonly signal: AbortSignal
    readonly retryMsMin: number
    readonly retryMsMax: number
    readonly onError: (error: unknown) => void
  },
): Promise<boolean> {
  const { clock, onError, retryMsMax, retryMsMin, signal } = how
  for (let retryMs = retryMsMin; ; retryMs = Math.min(retryMs * 2, retryMsMax)) {
    try {
      await attempt()
      return true
    } catch (error) {
      onError(error)
    }
    if (!signal.aborted) await clock.sleep(retryMs, signal)
    if (signal.aborted) return false
  }
}
