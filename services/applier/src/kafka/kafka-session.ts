import { aborted, AssertionError, type Clock, codeOf } from '@blockferry/runtime'
import type { ReplicationLog, TopicDescription, TopicSpec } from '@blockferry/replication-log'
import type { ApplierOptions } from '../options.ts'
import type { ApplierDeps } from '../ports.ts'
import { endsClient } from './client-end.ts'

/** Waits for a topic that is gone are this long at most. */
const mendCheckMs = 250

/**
 * One life of a client of Kafka B. Invariant KS1: every topic was ensured before the session is handed out,
 * and the client refuses any other topic of the same name from then on (K3): offsets learnt in a session belong
 * to the topics that it names.
 */
export class KafkaSession implements AsyncDisposable {
  readonly log: ReplicationLog
  /** The topics of this site as they were found, by name. */
  readonly topics: ReadonlyMap<string, TopicDescription>
  readonly #specs: readonly TopicSpec[]
  readonly #clock: Clock
  readonly #options: ApplierOptions
  #topicMissing = false

  private constructor(
    deps: Pick<ApplierDeps, 'clock' | 'topics'>,
    options: ApplierOptions,
    found: { readonly log: ReplicationLog; readonly topics: readonly TopicDescription[] },
  ) {
    this.log = found.log
    this.topics = new Map(found.topics.map((topic) => [topic.topic, topic]))
    this.#specs = deps.topics
    this.#clock = deps.clock
    this.#options = options
  }

  /** Connects and ensures the topics. Faults: the log's; TOPIC_MISMATCH when a person must look first. */
  static async open(
    deps: Pick<ApplierDeps, 'clock' | 'topics' | 'connectLog'>,
    options: ApplierOptions,
    signal: AbortSignal,
  ): Promise<KafkaSession> {
    const log = await deps.connectLog()
    // What waits for Kafka without a signal of its own must not hold up an orderly stop.
    const close = (): void => void log.close()
    signal.addEventListener('abort', close, { once: true })
    // The stop may have come while it connected, and tells nobody twice.
    if (signal.aborted) close()
    try {
      const topics = await log.ensureTopics(deps.topics)
      return new KafkaSession(deps, options, { log, topics })
    } catch (error) {
      await log.close()
      throw error
    } finally {
      signal.removeEventListener('abort', close)
    }
  }

  /** Looks at what a loop met. Throws it when this client cannot go on; a topic that is gone is made again. */
  meet(error: unknown): void {
    if (error instanceof AssertionError || endsClient(error)) throw error
    if (codeOf(error) === 'TOPIC_UNKNOWN') this.#topicMissing = true
  }

  /** Makes topics again that are gone, until the signal aborts. Throws what ends the session. */
  async tend(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(mendCheckMs, signal)
      if (!this.#topicMissing || signal.aborted) continue
      this.#topicMissing = false
      try {
        await this.log.ensureTopics(this.#specs)
      } catch (error) {
        if (signal.aborted) return
        this.meet(error)
        this.#topicMissing = true
      }
      await this.#clock.sleep(this.#options.retryMsMax, signal)
    }
  }

  /** Closes the client as soon as the signal aborts: that ends what waits in it. */
  async closeAtEnd(signal: AbortSignal): Promise<void> {
    await aborted(signal)
    await this.log.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.log.close()
  }
}
