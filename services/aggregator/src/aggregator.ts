import type { ReplicationLog } from '@blockferry/replication-log'
import { AssertionError, codeOf, explanationOf } from '@blockferry/runtime'
import { BackOff } from './back-off.ts'
import { FoldingBudget } from './folding-budget.ts'
import type { PartitionProgress } from './partition-progress.ts'
import type { AggregatorDeps, AggregatorOptions } from './ports.ts'
import { Session } from './session.ts'

/** Longest a stop waits for Kafka before the client is closed under it. */
const stopMsMax = 2_000
/**
 * How long one that lost its name in the group leaves it to the other. Mostly the other is its replacement; two
 * that were given one name by mistake take turns, and the one that waits says why, at its readiness and in its log.
 */
const fencedWaitMs = 60_000

export interface AggregatorStatus {
  readonly partitions: readonly PartitionProgress[]
  /** Code of what keeps the whole process from working; null while all is well. */
  readonly code: string | null
  /** The same in words, with what to do next; null when there is no more to say. */
  readonly why: string | null
  /** Held of the folding budget (A3). */
  readonly heldBytes: number
}

export interface Aggregator {
  /** Runs until the signal aborts; rejects only for a broken invariant. Call it once. */
  run(signal: AbortSignal): Promise<void>
  readonly status: AggregatorStatus
}

/**
 * Folds the raw writes of each assigned partition into update sets (A1–A4, K2, K4). Keeps nothing of its
 * own: killed at any point it resumes from its output, and what it sends twice the apply rule drops (S9).
 */
export function createAggregator(deps: AggregatorDeps, options: AggregatorOptions): Aggregator {
  return new ResumingAggregator(deps, options)
}

class ResumingAggregator implements Aggregator {
  readonly #deps: AggregatorDeps
  readonly #options: AggregatorOptions
  readonly #backOff: BackOff
  #session: Session | null = null
  #budget: FoldingBudget
  #code: string | null = 'STARTING'
  /** What the last session ended with, and what to do next; null while all is well. */
  #why: string | null = null

  constructor(deps: AggregatorDeps, options: AggregatorOptions) {
    this.#deps = deps
    this.#options = options
    this.#backOff = new BackOff(deps.random, { msMin: options.backOffMsMin, msMax: options.backOffMsMax })
    this.#budget = new FoldingBudget(options.foldingBytesMax)
  }

  get status(): AggregatorStatus {
    return {
      partitions: this.#session?.partitions ?? [],
      code: this.#session?.trouble ?? this.#code,
      why: this.#why,
      heldBytes: this.#budget.heldBytes,
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#oneSession(signal)
      } catch (error) {
        if (error instanceof AssertionError) throw error
        if (signal.aborted) return
        await this.#waitAfter(error, signal)
      }
    }
  }

  async #oneSession(signal: AbortSignal): Promise<void> {
    await using log = await this.#deps.connectLog()
    const ended = new AbortController()
    const late = this.#closeWhenLate(log, signal, ended.signal)
    this.#budget = new FoldingBudget(this.#options.foldingBytesMax)
    this.#session = new Session(this.#deps, { log, budget: this.#budget }, this.#options)
    const startedAtMs = this.#deps.clock.monotonicMs()
    try {
      await this.#session.run(signal, () => {
        this.#code = null
        this.#why = null
      })
    } finally {
      this.#session = null
      ended.abort()
      await late
      // A session that lived a while was well: the next failure starts from the shortest wait again.
      if (this.#deps.clock.monotonicMs() - startedAtMs > this.#options.backOffMsMax) this.#backOff.reset()
    }
  }

  /** Operations without a signal of their own (topics, joining, leaving) must not hold up an orderly stop. */
  async #closeWhenLate(log: ReplicationLog, signal: AbortSignal, ended: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const go = (): void => resolve()
    for (const either of [signal, ended]) {
      if (either.aborted) go()
      either.addEventListener('abort', go, { once: true })
    }
    await promise
    signal.removeEventListener('abort', go)
    if (ended.aborted) return
    await this.#deps.clock.sleep(stopMsMax, ended)
    if (!ended.aborted) await log.close()
  }

  async #waitAfter(error: unknown, signal: AbortSignal): Promise<void> {
    const code = codeOf(error)
    this.#code = code
    this.#why = explanationOf(error)
    this.#deps.meter.kafkaFailed(code)
    const text = `the Kafka client cannot go on (${code}); a new one resumes from the output`
    this.#deps.logger.error({ event: 'session-ended', err: error }, text)
    const waitMs = code === 'GROUP_MEMBER_FENCED' ? fencedWaitMs : this.#backOff.nextDelayMs()
    await this.#deps.clock.sleep(waitMs, signal)
  }
}
