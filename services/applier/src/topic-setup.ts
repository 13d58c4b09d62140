import { AssertionError, type Clock, codeOf } from '@blockferry/runtime'
import type { ReplicationLog, TopicSpec } from '@blockferry/replication-log'
import type { ApplierLogger } from './ports.ts'

const retryMs = 1_000

/**
 * Creates the topics of this site, or finds them as they should be (K3); waits while Kafka is away.
 * @throws TOPIC_MISMATCH: a person must look first
 */
export async function ensureTopicsUntilDone(
  deps: {
    readonly replicationLog: ReplicationLog
    readonly clock: Clock
    readonly logger: ApplierLogger
    readonly topics: readonly TopicSpec[]
  },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await deps.replicationLog.ensureTopics(deps.topics)
      return
    } catch (error) {
      if (error instanceof AssertionError || codeOf(error) === 'TOPIC_MISMATCH') throw error
      deps.logger.warn(
        { event: 'topics-waiting', code: codeOf(error), err: error },
        'the topics cannot be checked yet',
      )
      await deps.clock.sleep(retryMs, signal)
    }
  }
}
