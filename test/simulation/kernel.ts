import { setImmediate as afterMicrotasks } from 'node:timers/promises'
import type { Clock } from '@blockferry/runtime'
import { Digest } from './digest.ts'
import { seededRandom, type SimulatedRandom } from './seeded-random.ts'
import { type Timer, Timers } from './timers.ts'

/*
 * A deterministic world. Every asynchronous operation of a simulated port waits at `step()`, and the
 * kernel decides by its seed which waiting operation goes next or how far time moves.
 *
 * Invariant K1: between two decisions all microtasks have run, so the set of waiting operations is a
 *   function of the decisions before: the same seed gives the same run.
 * Invariant K2: a killed process makes no further step. Its waiting operations are dropped where they
 *   stand, as kill -9 drops them; what a port did before the wait has happened, what comes after has not.
 * Invariant K3: a paused process (SIGSTOP) makes no step until it is resumed; it loses none.
 */

/** Wall time at the start of every run, ms since the epoch. */
export const epochMs = 1_700_000_000_000

/** One incarnation of a program: from its start to its stop or kill. */
export class SimulatedProcess {
  readonly name: string
  /** Unique per incarnation. */
  readonly serial: number
  alive = true
  paused = false

  constructor(name: string, serial: number) {
    this.name = name
    this.serial = serial
  }
}

interface Waiting extends Timer {
  readonly process: SimulatedProcess
  readonly resume: () => void
  cancelled: boolean
}

/** Latency of a call to a local disk. */
export const diskLatency: Latency = { probability: 0.1, msMax: 1 }

/** How long an operation of a port takes: mostly nothing, now and then up to `msMax`. */
export interface Latency {
  readonly probability: number
  readonly msMax: number
}

export class Kernel {
  readonly random: SimulatedRandom
  readonly digest = new Digest()
  nowMs = 0
  decisions = 0
  /** The process that the last decision was about; null when it was about time. */
  lastChosen: SimulatedProcess | null = null
  #ready: Waiting[] = []
  readonly #timers = new Timers<Waiting>()
  #serial = 0
  readonly #started: SimulatedProcess[] = []

  constructor(seed: number) {
    this.random = seededRandom(seed)
  }

  get waiting(): number {
    return this.#ready.length
  }

  process(name: string): SimulatedProcess {
    const process = new SimulatedProcess(name, this.#started.length + 1)
    this.#started.push(process)
    return process
  }

  /** Waits for the kernel's choice; never resolves once the process is dead. */
  step(process: SimulatedProcess, delayMs = 0): Promise<void> {
    return new Promise((resume) => {
      this.#wait({ process, delayMs, resume })
    })
  }

  #wait(wait: { process: SimulatedProcess; delayMs: number; resume: () => void }): Waiting | null {
    const { process, delayMs, resume } = wait
    if (!process.alive) return null
    this.#serial += 1
    const entry = { process, resume, dueMs: this.nowMs + delayMs, serial: this.#serial, cancelled: false }
    if (delayMs > 0) this.#timers.push(entry)
    else this.#ready.push(entry)
    return entry
  }

  /** The step function to hand to the ports of one process. */
  stepper(process: SimulatedProcess, latency?: Latency): () => Promise<void> {
    if (latency === undefined) return () => this.step(process)
    const { probability, msMax } = latency
    return () => {
      const delayMs = this.random.chance(probability) ? (this.random.below(1000) * msMax) / 1000 : 0
      return this.step(process, delayMs)
    }
  }

  clock(process: SimulatedProcess, wallSkewMs = 0): Clock {
    return {
      wallMs: () => epochMs + Math.floor(this.nowMs + wallSkewMs),
      monotonicMs: () => this.nowMs,
      sleep: (delayMs, signal) => this.#sleep(process, delayMs, signal),
    }
  }

  #sleep(process: SimulatedProcess, delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (!process.alive) return
      if (signal?.aborted === true) return resolve()
      const onAbort = () => {
        if (entry === null || entry.cancelled) return
        entry.cancelled = true
        if (process.alive) resolve()
      }
      // A sleep of no time is a turn of its own: a loop around it must not stop the world.
      const resume = () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }
      const entry = this.#wait({ process, delayMs: Math.max(0.001, delayMs), resume })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** K2. */
  kill(process: SimulatedProcess): void {
    process.alive = false
    this.#ready = this.#ready.filter((entry) => entry.process.alive)
  }

  /** The end of a run. */
  killAll(): void {
    for (const process of this.#started) process.alive = false
    this.#ready = []
  }

  /**
   * Makes one decision: resumes one of the operations that are due, at random; when none is due, moves
   * time to the next. Returns false when nothing waits at all.
   */
  async decide(): Promise<boolean> {
    this.lastChosen = null
    const chosen = this.#choose()
    if (chosen === null) return this.#moveTime()
    this.decisions += 1
    this.digest.number(chosen.process.serial)
    this.digest.number(this.nowMs * 1000)
    this.lastChosen = chosen.process
    chosen.cancelled = true
    chosen.resume()
    await this.settle()
    return true
  }

  /** K1: runs everything that waits for nothing. Call it after touching a process from outside. */
  settle(): Promise<void> {
    return afterMicrotasks()
  }

  #choose(): Waiting | null {
    const ready = this.#ready
    let candidates = ready.length
    while (candidates > 0) {
      const at = this.random.below(candidates)
      const entry = ready[at]!
      const runs = entry.process.alive && !entry.process.paused && !entry.cancelled
      if (runs) {
        ready[at] = ready.at(-1)!
        ready.pop()
        return entry
      }
      const last = candidates - 1
      if (entry.process.paused && entry.process.alive && !entry.cancelled) {
        // K3: kept, behind those that may go.
        ready[at] = ready[last]!
        ready[last] = entry
      } else {
        ready[at] = ready[last]!
        ready[last] = ready.at(-1)!
        ready.pop()
      }
      candidates = last
    }
    return null
  }

  #moveTime(): boolean {
    let moved = false
    for (let next = this.#timers.first; next !== undefined; next = this.#timers.first) {
      const isGone = next.cancelled || !next.process.alive
      if (!isGone && moved && next.dueMs > this.nowMs) break
      this.#timers.pop()
      if (isGone) continue
      this.nowMs = Math.max(this.nowMs, next.dueMs)
      moved = true
      this.#ready.push(next)
    }
    return moved
  }
}
