import type { Clock } from '@blockferry/runtime'

interface Sleeper {
  readonly untilMs: number
  readonly wake: () => void
}

/** A clock that a test moves: time passes only when everything else has come to rest. */
export class ManualClock implements Clock {
  #nowMs = 1_000_000
  readonly #sleepers = new Set<Sleeper>()

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const wake = (): void => resolve()
    const sleeper = { untilMs: this.#nowMs + delayMs, wake }
    this.#sleepers.add(sleeper)
    signal?.addEventListener('abort', wake, { once: true })
    await promise
    signal?.removeEventListener('abort', wake)
    this.#sleepers.delete(sleeper)
  }

  /** Lets `spanMs` pass, waking each sleeper at its time, in order. */
  async pass(spanMs: number): Promise<void> {
    const endMs = this.#nowMs + spanMs
    for (;;) {
      await settle()
      const next = this.#next(endMs)
      if (next === null) break
      this.#nowMs = Math.max(this.#nowMs, next.untilMs)
      this.#sleepers.delete(next)
      next.wake()
    }
    this.#nowMs = endMs
  }

  /** Lets time pass in steps until the condition holds; throws after `deadlineMs` of this clock. */
  async until(
    condition: () => boolean,
    { deadlineMs = 120_000, stepMs = 5 }: { readonly deadlineMs?: number; readonly stepMs?: number } = {},
  ): Promise<void> {
    const endMs = this.#nowMs + deadlineMs
    while (!condition()) {
      if (this.#nowMs > endMs) throw new Error(`not within ${deadlineMs} ms: ${condition.toString()}`)
      await this.pass(stepMs)
    }
  }

  #next(endMs: number): Sleeper | null {
    let next: Sleeper | null = null
    for (const sleeper of this.#sleepers) {
      if (sleeper.untilMs <= endMs && (next === null || sleeper.untilMs < next.untilMs)) next = sleeper
    }
    return next
  }
}

/** Runs every promise reaction that is ready: nothing here waits for anything but promises. */
async function settle(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  setImmediate(resolve)
  await promise
}
