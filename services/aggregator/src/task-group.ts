import { AssertionError } from '@blockferry/runtime'

/**
 * Loops that live and die together. Invariant TG1: the first that fails aborts the others; its error
 * is kept for `throwIfFailed`, once all have ended (`settled`).
 */
export class TaskGroup {
  readonly #stop = new AbortController()
  readonly #running = new Set<Promise<void>>()
  readonly #unlink: () => void
  #failure: { readonly error: unknown } | null = null

  constructor(parent: AbortSignal) {
    const abort = (): void => this.#stop.abort()
    if (parent.aborted) abort()
    parent.addEventListener('abort', abort, { once: true })
    this.#unlink = () => parent.removeEventListener('abort', abort)
  }

  get signal(): AbortSignal {
    return this.#stop.signal
  }

  /** Starts a task; the promise resolves when it has ended, whatever its end. */
  spawn(task: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const guarded = this.#guard(task).finally(() => this.#running.delete(guarded))
    this.#running.add(guarded)
    return guarded
  }

  stop(): void {
    this.#stop.abort()
  }

  /** Resolves once every task has ended. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
    this.#unlink()
  }

  throwIfFailed(): void {
    if (this.#failure !== null) throw this.#failure.error
  }

  async #guard(task: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      await task(this.signal)
    } catch (error) {
      // What a task throws because it was told to stop says nothing; a broken invariant always does.
      const matters = !this.signal.aborted || error instanceof AssertionError
      if (matters && this.#failure === null) this.#failure = { error }
      this.stop()
    }
  }
}
