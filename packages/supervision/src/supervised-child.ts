/*
 * Keeps one child process running.
 *
 *   launching ──ready──► serving ──exit──► waiting (back-off) ──► launching …
 *       │ exit: waiting, too; status 78 at the first start: given up, a restart would not change it
 *       └ not ready in time: killed, then as exit
 *   any ──stop()──► stopping ──► stopped
 *
 * Invariants:
 * V1  At most one process of a child exists: the next is launched only after the one before has exited.
 * V2  Every restart is announced, with why, before anything else happens to the new process.
 * V3  The wait before a restart doubles from `backOffMsMin` to `backOffMsMax`, and starts anew only after a
 *     process has served for `stableMsMin`.
 */
import { assert, type Clock, type Fault } from '@blockferry/runtime'
import { fault } from './error-catalogue.ts'

export const backOffMsMin = 100
export const backOffMsMax = 5_000
export const stableMsMin = 10_000
/** The status with which our services refuse their configuration. */
const configStatus = 78

export interface ChildExit {
  readonly code: number | null
  readonly signal: string | null
}

/** A launched process, as the supervisor sees it; tests bring their own. */
export interface LaunchedProcess {
  readonly pid: number
  readonly exited: Promise<ChildExit>
  /** Calls back with each line of output, JSON or not; returns a function that stops it. */
  onLine(listener: (line: string) => void): () => void
  kill(signal: 'SIGTERM' | 'SIGKILL'): void
}

export interface ChildSpec {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Resolves once the process serves; must end when `signal` aborts. */
  readonly awaitReady: (process: LaunchedProcess, signal: AbortSignal) => Promise<void>
  readonly readyMsMax: number
  /** Longest orderly stop before SIGKILL. */
  readonly stopMsMax: number
}

export type ChildEvent =
  | { readonly kind: 'started'; readonly name: string; readonly pid: number }
  | { readonly kind: 'serving'; readonly name: string; readonly pid: number; readonly afterMs: number }
  | { readonly kind: 'restarted'; readonly name: string; readonly pid: number; readonly reason: string }
  | { readonly kind: 'exited'; readonly name: string; readonly reason: string; readonly restartInMs: number }
  | { readonly kind: 'stopped'; readonly name: string; readonly forced: boolean }

export interface SupervisorDeps {
  readonly clock: Clock
  readonly launch: (spec: ChildSpec) => LaunchedProcess
  readonly onEvent: (event: ChildEvent) => void
}

/** One child process and its restarts. */
export class SupervisedChild {
  readonly spec: ChildSpec
  readonly #deps: SupervisorDeps
  readonly #stop = new AbortController()
  /** Null: it serves. */
  readonly #firstOutcome = Promise.withResolvers<Fault | null>()
  #current: LaunchedProcess | null = null
  #running: Promise<void> | null = null
  #restartReason: string | null = null
  #everServed = false
  #restarts = 0

  constructor(spec: ChildSpec, deps: SupervisorDeps) {
    this.spec = spec
    this.#deps = deps
  }

  get pid(): number | null {
    return this.#current?.pid ?? null
  }

  get restarts(): number {
    return this.#restarts
  }

  /**
   * Launches the process; resolves when it first serves.
   * @throws CHILD_REFUSED_CONFIG, CHILD_NOT_STARTED
   */
  async start(): Promise<void> {
    assert(this.#running === null, 'a supervised child is started once')
    this.#running = this.#run()
    const refused = await this.#firstOutcome.promise
    if (refused !== null) throw refused
  }

  /** Ends the current process for a reason of the supervisor’s own; the next one follows (V1). */
  restart(reason: string): void {
    if (this.#current === null || this.#stop.signal.aborted) return
    this.#restartReason = reason
    void this.#end(this.#current)
  }

  /** Orderly stop, SIGKILL after `stopMsMax`. */
  async stop(): Promise<void> {
    this.#stop.abort()
    this.#firstOutcome.resolve(fault('CHILD_NOT_STARTED', `${this.spec.name} was stopped before it served`))
    const process = this.#current
    const forced = process === null ? false : await this.#end(process)
    await this.#running
    if (process !== null) this.#deps.onEvent({ kind: 'stopped', name: this.spec.name, forced })
  }

  async #run(): Promise<void> {
    const { clock, onEvent } = this.#deps
    const stopped = this.#stop.signal
    let backOffMs = backOffMsMin
    let reason: string | null = null
    while (!stopped.aborted) {
      const { exit, servedMs } = await this.#runOnce(reason)
      if (stopped.aborted) return
      reason = this.#restartReason ?? exitText(exit)
      this.#restartReason = null
      if (!this.#everServed && exit.code === configStatus) {
        const { name } = this.spec
        this.#firstOutcome.resolve(fault('CHILD_REFUSED_CONFIG', `${name} refused its configuration`))
        return
      }
      if (servedMs >= stableMsMin) backOffMs = backOffMsMin
      onEvent({ kind: 'exited', name: this.spec.name, reason, restartInMs: backOffMs })
      await clock.sleep(backOffMs, stopped)
      backOffMs = Math.min(backOffMs * 2, backOffMsMax)
    }
  }

  /** One process from launch to exit. `reason` is null for the first. */
  async #runOnce(reason: string | null): Promise<{ readonly exit: ChildExit; readonly servedMs: number }> {
    const { clock, launch, onEvent } = this.#deps
    const { name } = this.spec
    const startedMs = clock.monotonicMs()
    const process = launch(this.spec)
    this.#current = process
    if (reason === null) onEvent({ kind: 'started', name, pid: process.pid })
    else {
      this.#restarts += 1
      onEvent({ kind: 'restarted', name, pid: process.pid, reason })
    }
    let servingSinceMs: number | null = null
    if (await this.#becomesReady(process)) {
      servingSinceMs = clock.monotonicMs()
      this.#everServed = true
      this.#firstOutcome.resolve(null)
      onEvent({ kind: 'serving', name, pid: process.pid, afterMs: Math.round(servingSinceMs - startedMs) })
    }
    const exit = await process.exited
    this.#current = null
    return { exit, servedMs: servingSinceMs === null ? 0 : clock.monotonicMs() - servingSinceMs }
  }

  /** False when the process ended, or had to be ended, before it served. */
  async #becomesReady(process: LaunchedProcess): Promise<boolean> {
    const { clock } = this.#deps
    const over = new AbortController()
    const giveUp = () => over.abort()
    this.#stop.signal.addEventListener('abort', giveUp, { once: true })
    const outcome = await Promise.race([
      this.spec.awaitReady(process, over.signal).then(
        () => (over.signal.aborted ? 'stopped' : 'ready'),
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      ),
      process.exited.then(() => 'exited'),
      clock.sleep(this.spec.readyMsMax, over.signal).then(() => 'late'),
    ])
    over.abort()
    this.#stop.signal.removeEventListener('abort', giveUp)
    if (outcome === 'ready') return true
    if (outcome !== 'exited' && !this.#stop.signal.aborted) {
      this.#restartReason = outcome === 'late' ? `not serving after ${this.spec.readyMsMax} ms` : outcome
      await this.#end(process)
      if (!this.#everServed) {
        const what = `${this.spec.name}: ${this.#restartReason}`
        this.#firstOutcome.resolve(fault('CHILD_NOT_STARTED', what))
      }
    }
    return false
  }

  /** SIGTERM, then SIGKILL; true when it took force. */
  async #end(process: LaunchedProcess): Promise<boolean> {
    const done = new AbortController()
    process.kill('SIGTERM')
    const late = this.#deps.clock.sleep(this.spec.stopMsMax, done.signal).then(() => !done.signal.aborted)
    const forced = await Promise.race([process.exited.then(() => false), late])
    if (forced) process.kill('SIGKILL')
    await process.exited
    done.abort()
    return forced
  }
}

function exitText(exit: ChildExit): string {
  return exit.signal === null ? `exited with status ${exit.code}` : `killed by ${exit.signal}`
}
