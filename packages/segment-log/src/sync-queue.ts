/**
 * Group commit: a run covers everything that happened before it began, so whoever asks while one is
 * under way shares the next one. At most one runs and one waits.
 */
export class SyncQueue {
  readonly #run: () => Promise<void>
  #running: Promise<void> = Promise.resolve()
  #waiting: Promise<void> | null = null

  constructor(run: () => Promise<void>) {
    this.#run = run
  }

  /** Resolves when a run that began after this call is over; rejects when that run failed. */
  request(): Promise<void> {
    this.#waiting ??= this.#startNext()
    return this.#waiting
  }

  /** Resolves when nothing runs or waits. */
  async idle(): Promise<void> {
    while (this.#waiting !== null) await this.#waiting.then(undefined, () => undefined)
    await this.#running.then(undefined, () => undefined)
  }

  async #startNext(): Promise<void> {
    // Whoever asked for that run hears of its failure; the next one has its own outcome.
    await this.#running.then(undefined, () => undefined)
    this.#running = this.#waiting!
    this.#waiting = null
    await this.#run()
  }
}
