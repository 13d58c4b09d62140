import type { Clock, Random } from '@blockferry/runtime'

/** Turns of the microtask queue between two decisions: more than any chain of awaits between two ports. */
const microtaskTurns = 64
/** … and while nobody waits at all: long scans whose reads all are in a buffer already. */
const idleTurns = 3_000

/** mulberry32. */
export function seededRandom(seed: number): Random & { below(bound: number): number } {
  let state = seed >>> 0
  const uint32 = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  return {
    uint32,
    below: (bound) => uint32() % bound,
    hex: (byteLength) => {
      let text = ''
      while (text.length < byteLength * 2) text += uint32().toString(16).padStart(8, '0')
      return text.slice(0, byteLength * 2)
    },
  }
}

interface Waiting {
  readonly life: Life
  readonly resume: () => void
}

/** One incarnation of a process: once dead, none of its waits ever ends. */
export class Life {
  alive = true
}

/**
 * A small deterministic world for the tests of one service: every port waits at `step`, and the seed decides
 * who goes next; when nobody waits, time moves to the next sleeper.
 */
export class World {
  readonly random: ReturnType<typeof seededRandom>
  nowMs = 0
  decisions = 0
  #waiting: Waiting[] = []
  #sleepers: (Waiting & { readonly dueMs: number })[] = []

  constructor(seed: number) {
    this.random = seededRandom(seed)
  }

  step(life: Life): Promise<void> {
    return new Promise((resume) => {
      if (life.alive) this.#waiting.push({ life, resume })
    })
  }

  clock(life: Life): Clock {
    return {
      wallMs: () => 1_700_000_000_000 + this.nowMs,
      monotonicMs: () => this.nowMs,
      sleep: (delayMs, signal) =>
        new Promise((resume) => {
          if (!life.alive) return
          if (signal?.aborted === true) return resume()
          const sleeper = { life, resume, dueMs: this.nowMs + Math.max(delayMs, 1) }
          this.#sleepers.push(sleeper)
          const wake = () => {
            this.#sleepers = this.#sleepers.filter((other) => other !== sleeper)
            resume()
          }
          signal?.addEventListener('abort', wake, { once: true })
        }),
    }
  }

  kill(life: Life): void {
    life.alive = false
    this.#waiting = this.#waiting.filter((entry) => entry.life.alive)
    this.#sleepers = this.#sleepers.filter((entry) => entry.life.alive)
  }

  /** Lets things happen until the condition holds; throws when they cannot, or take too many decisions. */
  async until(condition: () => boolean, what: string, decisionsMax = 200_000): Promise<void> {
    for (let left = decisionsMax; ; left -= 1) {
      await this.#turnMicrotasks()
      if (condition()) return
      if (left === 0) throw new Error(`${decisionsMax} decisions were not enough for: ${what}`)
      this.#decide(what)
    }
  }

  /** The outcome of a promise, letting things happen meanwhile. */
  async settle<T>(promise: Promise<T>, what = 'a promise'): Promise<T> {
    let settled = false
    const mark = () => {
      settled = true
    }
    promise.then(mark, mark)
    await this.until(() => settled, what)
    return promise
  }

  /** Makes exactly so many decisions, or fewer when nothing is left to decide. */
  async run(decisions: number): Promise<void> {
    let left = decisions
    await this.until(() => {
      left -= 1
      return left < 0 || (this.#waiting.length === 0 && this.#sleepers.length === 0)
    }, 'some decisions')
  }

  async #turnMicrotasks(): Promise<void> {
    for (let turn = 0; turn < microtaskTurns; turn += 1) await Promise.resolve()
    for (let turn = 0; turn < idleTurns && this.#waiting.length === 0; turn += 1) await Promise.resolve()
  }

  #decide(what: string): void {
    this.decisions += 1
    if (this.#waiting.length > 0) {
      const [chosen] = this.#waiting.splice(this.random.below(this.#waiting.length), 1)
      chosen?.resume()
      return
    }
    const next = this.#sleepers.toSorted((a, b) => a.dueMs - b.dueMs)[0]
    if (next === undefined) throw new Error(`nothing is left to happen while waiting for: ${what}`)
    this.#sleepers.splice(this.#sleepers.indexOf(next), 1)
    this.nowMs = Math.max(this.nowMs, next.dueMs)
    next.resume()
  }
}
