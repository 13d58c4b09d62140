import type { FetchOutcome, FetchRequest, ReplicationLog } from '@blockferry/replication-log'

type Settled =
  | { readonly kind: 'fetched'; readonly outcomes: readonly FetchOutcome[] }
  | { readonly kind: 'failed'; readonly error: unknown }

interface Ahead {
  readonly places: ReadonlySet<string>
  readonly settled: Promise<Settled>
}

function placesOf(request: FetchRequest): ReadonlySet<string> {
  return new Set(request.positions.map((at) => `${at.topic}/${at.kafkaPartition}@${at.kafkaOffset}`))
}

/**
 * Fetches the next records while the ones before are made durable. One fetch is outstanding at a time; one
 * that was begun for places that are no longer wanted is waited for and thrown away. One that lacks a place,
 * for its partition rested then, serves: the place is asked for the next time.
 */
export class FetchAhead {
  readonly #log: ReplicationLog
  #ahead: Ahead | null = null

  constructor(log: ReplicationLog) {
    this.#log = log
  }

  /** The records at these places. Faults: the log's. */
  async fetch(request: FetchRequest, signal: AbortSignal): Promise<readonly FetchOutcome[]> {
    const settled = await this.#take(placesOf(request))
    if (settled === null) return this.#log.fetch(request, signal)
    if (settled.kind === 'failed') throw settled.error
    return settled.outcomes
  }

  /** Begins a fetch that will probably be asked for next. */
  begin(request: FetchRequest, signal: AbortSignal): void {
    if (this.#ahead !== null) return
    const settled = this.#log.fetch(request, signal).then(
      (outcomes): Settled => ({ kind: 'fetched', outcomes }),
      (error: unknown): Settled => ({ kind: 'failed', error }),
    )
    this.#ahead = { places: placesOf(request), settled }
  }

  /** Waits for a fetch that nobody will ask for. */
  async end(): Promise<void> {
    await this.#take(new Set())
  }

  async #take(wanted: ReadonlySet<string>): Promise<Settled | null> {
    const ahead = this.#ahead
    if (ahead === null) return null
    this.#ahead = null
    const settled = await ahead.settled
    return [...ahead.places].every((place) => wanted.has(place)) ? settled : null
  }
}
