import type { Random } from '@blockferry/runtime'

/** Waits that double up to a cap, each shortened by up to half at random, so that many do not return at once. */
export class BackOff {
  readonly #random: Random
  readonly #limits: { readonly msMin: number; readonly msMax: number }
  #failures = 0

  constructor(random: Random, limits: { readonly msMin: number; readonly msMax: number }) {
    this.#random = random
    this.#limits = limits
  }

  /** Failures since the last success. */
  get failures(): number {
    return this.#failures
  }

  /** Counts a failure; how long to wait after it, ms. */
  nextDelayMs(): number {
    const doubled = this.#limits.msMin * 2 ** Math.min(this.#failures, 30)
    this.#failures += 1
    const delayMs = Math.min(doubled, this.#limits.msMax)
    return delayMs * (1 - this.#random.uint32() / 2 ** 33)
  }

  reset(): void {
    this.#failures = 0
  }
}
