import { AssertionError, codeOf } from '@blockferry/runtime'
import type { ApplierOptions } from '../options.ts'
import type { ApplierDeps } from '../ports.ts'
import { type Loop, runTogether } from '../run-together.ts'
import { endsClient } from './client-end.ts'
import { KafkaSession } from './kafka-session.ts'

export interface SessionParts {
  /** What runs in every session, until its signal aborts. */
  readonly loopsOf: (session: KafkaSession) => readonly Loop[]
  /** No client works: called at every failed try. */
  readonly onLost: (error: unknown) => void
}

/** Its cause is why another session must begin. */
class SessionEnd extends Error {}

/*
 *   OPENING ──topics are as they should be──► RUNNING
 *     ▲ └─Kafka away: tried again, for ever      │
 *     └──────────this client cannot go on────────┘   (a topic was deleted and made again, K3)
 */

/** Keeps a client of Kafka B, a new one after each that could not go on: reading resumes by position (K4). */
export class KafkaSessions {
  readonly #deps: ApplierDeps
  readonly #options: ApplierOptions
  readonly #parts: SessionParts
  #retryMs: number
  #opened = 0

  constructor(deps: ApplierDeps, options: ApplierOptions, parts: SessionParts) {
    this.#deps = deps
    this.#options = options
    this.#parts = parts
    this.#retryMs = options.retryMsMin
  }

  /**
   * Runs until the signal aborts. Rejects with what a loop threw that no new client would change.
   * @throws TOPIC_MISMATCH, before the first session: a person must look first (K3)
   */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await using session = await this.#open(signal)
        await this.#live(session, signal)
      } catch (error) {
        if (!(error instanceof SessionEnd)) throw error
        if (!signal.aborted) await this.#waitAfter(error.cause, signal)
      }
    }
  }

  async #open(signal: AbortSignal): Promise<KafkaSession> {
    try {
      return await KafkaSession.open(this.#deps, this.#options, signal)
    } catch (cause) {
      if (cause instanceof AssertionError) throw cause
      if (this.#opened === 0 && codeOf(cause) === 'TOPIC_MISMATCH') throw cause
      throw new SessionEnd('no session', { cause })
    }
  }

  async #live(session: KafkaSession, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps
    const openedAtMs = clock.monotonicMs()
    this.#opened += 1
    logger.info({ event: 'kafka-session', number: this.#opened }, 'Kafka B is there, its topics are in order')
    try {
      await runTogether(signal, [
        ...this.#parts.loopsOf(session),
        (stop) => session.tend(stop),
        (stop) => session.closeAtEnd(stop),
      ])
    } catch (cause) {
      if (cause instanceof AssertionError || !endsClient(cause)) throw cause
      throw new SessionEnd('the session is over', { cause })
    } finally {
      // One that lived a while was well: the next failure starts from the shortest wait again.
      if (clock.monotonicMs() - openedAtMs > this.#options.retryMsMax)
        this.#retryMs = this.#options.retryMsMin
    }
  }

  async #waitAfter(error: unknown, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps
    this.#parts.onLost(error)
    const code = codeOf(error)
    logger.warn({ event: 'kafka-lost', code, err: error }, `Kafka B: ${code}; a new client will try`)
    const delayMs = this.#retryMs
    this.#retryMs = Math.min(this.#retryMs * 2, this.#options.retryMsMax)
    await clock.sleep(delayMs, signal)
  }
}
