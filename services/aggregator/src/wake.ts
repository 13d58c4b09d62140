import type { Clock } from '@blockferry/runtime'

/** Lets loops wait for each other's progress without a clock. */
export class Wake {
  readonly #waiters = new Set<() => void>()

  /** Ends every wait that has begun. */
  wake(): void {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const resolve of waiters) resolve()
  }

  /** Resolves at the next `wake`, or at once when the signal aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const end = (): void => resolve()
    this.#waiters.add(end)
    signal.addEventListener('abort', end, { once: true })
    await promise
    signal.removeEventListener('abort', end)
    this.#waiters.delete(end)
  }

  /** As `wait`, but `delayMs` at most. */
  async waitAtMost(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
    const enough = new AbortController()
    const stop = (): void => enough.abort()
    if (signal.aborted) return
    signal.addEventListener('abort', stop, { once: true })
    await Promise.race([this.wait(enough.signal), clock.sleep(delayMs, enough.signal)])
    enough.abort()
    signal.removeEventListener('abort', stop)
  }
}
