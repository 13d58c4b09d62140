import { setImmediate as afterMicrotasks } from 'node:timers/promises'
import type { Clock, Random } from '@blockferry/runtime'

interface Sleeper {
  readonly dueMs: number
  readonly wake: () => void
}

/** A process as ports see it: after its death no step and no sleep of it ever ends. */
export class Process {
  alive = true
  /** Steps left before it dies; counts down at every await of a port. */
  stepsLeft = Infinity
  steps = 0

  readonly step = (): Promise<void> => {
    this.steps += 1
    this.stepsLeft -= 1
    if (this.stepsLeft < 0) this.alive = false
    return this.alive ? Promise.resolve() : new Promise(() => {})
  }
}

/** Time that moves only when nothing else can happen. */
export class VirtualTime {
  nowMs = 0
  #sleepers: Sleeper[] = []

  clockOf(process: Process): Clock {
    return {
      wallMs: () => 1_700_000_000_000 + this.nowMs,
      monotonicMs: () => this.nowMs,
      sleep: (delayMs, signal) => this.#sleep(process, { delayMs, signal }),
    }
  }

  async #sleep(
    process: Process,
    wait: { readonly delayMs: number; readonly signal: AbortSignal | undefined },
  ): Promise<void> {
    if (!process.alive) return new Promise(() => {})
    if (wait.signal?.aborted === true) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const sleeper = { dueMs: this.nowMs + wait.delayMs, wake: () => process.alive && resolve() }
    this.#sleepers.push(sleeper)
    const stop = () => {
      this.#sleepers = this.#sleepers.filter((other) => other !== sleeper)
      sleeper.wake()
    }
    wait.signal?.addEventListener('abort', stop, { once: true })
    await promise
    wait.signal?.removeEventListener('abort', stop)
  }

  /** Lets everything run that can, then moves time to the next sleeper. */
  async advance(): Promise<void> {
    for (let turns = 0; turns < 3; turns += 1) await afterMicrotasks()
    const dueMs = Math.min(...this.#sleepers.map((sleeper) => sleeper.dueMs))
    if (dueMs === Infinity) return
    this.nowMs = Math.max(this.nowMs, dueMs)
    const due = this.#sleepers.filter((sleeper) => sleeper.dueMs <= this.nowMs)
    this.#sleepers = this.#sleepers.filter((sleeper) => sleeper.dueMs > this.nowMs)
    for (const sleeper of due) sleeper.wake()
  }

  /** Runs until the condition holds; throws when `virtualMsMax` have passed without it. */
  async until(condition: () => boolean, what: string, virtualMsMax = 60_000): Promise<void> {
    const endMs = this.nowMs + virtualMsMax
    let turnsLeft = virtualMsMax
    while (!condition()) {
      turnsLeft -= 1
      if (turnsLeft < 0) throw new Error(`nothing moves any more: ${what}`)
      if (this.nowMs > endMs) throw new Error(`not within ${virtualMsMax} virtual ms: ${what}`)
      await this.advance()
    }
  }

  async pass(virtualMs: number): Promise<void> {
    const endMs = this.nowMs + virtualMs
    await this.until(() => this.nowMs >= endMs, 'time to pass', virtualMs + 60_000)
  }
}

/** xorshift32: the same numbers every run. */
export function seededRandom(seed: number): Random {
  let state = seed === 0 ? 1 : seed >>> 0
  const uint32 = () => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state
  }
  return {
    uint32,
    hex: (byteLength) => {
      let text = ''
      while (text.length < byteLength * 2) text += uint32().toString(16).padStart(8, '0')
      return text.slice(0, byteLength * 2)
    },
  }
}
