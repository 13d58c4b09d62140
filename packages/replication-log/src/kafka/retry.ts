import { setTimeout as delay } from 'node:timers/promises'
import { isTransient, isUnknownTopic } from './kafka-error.ts'
import type { ConnectionLimits } from './limits.ts'

export interface RetryOptions {
  readonly limits: ConnectionLimits
  readonly deadlineMs: number
  readonly signal?: AbortSignal | undefined
}

/** Milliseconds that never run backwards. */
export function nowMs(): number {
  return performance.now()
}

/** Doubles from the least to the most; `attempt` counts from 0. */
export function backoffMs(attempt: number, limits: ConnectionLimits): number {
  return Math.min(limits.backoffMsMax, limits.backoffMsMin * 2 ** Math.min(attempt, 16))
}

/** Sleeps, or throws the signal's reason as soon as it aborts. */
export async function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(Math.max(0, delayMs), undefined, signal === undefined ? {} : { signal })
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
}

/**
 * Tries until it works, with back-off, within a deadline. Only what another try can change is tried
 * again; an unknown topic for `topicUnknownWaitMs`, because a broker that starts learns its topics late.
 */
export async function retrying<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { limits, signal } = options
  const startedMs = nowMs()
  for (let attempts = 0; ; attempts += 1) {
    try {
      return await attempt()
    } catch (error) {
      signal?.throwIfAborted()
      const allowedMs = isUnknownTopic(error) ? limits.topicUnknownWaitMs : options.deadlineMs
      const retriable = isTransient(error) || isUnknownTopic(error)
      const waitMs = backoffMs(attempts, limits)
      if (!retriable || nowMs() - startedMs + waitMs > Math.min(allowedMs, options.deadlineMs)) throw error
      await pause(waitMs, signal)
    }
  }
}
