import { AssertionError, type Clock, codeOf, explanationOf } from '@blockferry/runtime'
import type { ReplicationLog, TopicSpec } from './replication-log.ts'

const retryMs = 1_000

/** pino's logger fits. */
export interface TopicSetupLogger {
  warn(fields: Readonly<Record<string, unknown>>, text: string): void
}

export interface TopicSetupDeps {
  readonly replicationLog: ReplicationLog
  readonly clock: Clock
  readonly logger: TopicSetupLogger
  readonly topics: readonly TopicSpec[]
  /** Told in words each time the cluster could not be asked. */
  readonly onWaiting?: (why: string) => void
}

/**
 * Creates the topics of this site, or finds them as they should be (K3); waits while Kafka is away.
 * @throws TOPIC_MISMATCH: a person must look first
 */
export async function ensureTopicsUntilDone(deps: TopicSetupDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await deps.replicationLog.ensureTopics(deps.topics)
      return
    } catch (error) {
      if (error instanceof AssertionError || codeOf(error) === 'TOPIC_MISMATCH') throw error
      // A stop closes the client under the call that waits.
      if (signal.aborted) return
      const why = explanationOf(error)
      deps.onWaiting?.(why)
      const fields = { event: 'topics-waiting', code: codeOf(error), err: error }
      deps.logger.warn(fields, `the topics cannot be checked yet: ${why}`)
      await deps.clock.sleep(retryMs, signal)
    }
  }
}
