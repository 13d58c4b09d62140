import { Fault } from '@blockferry/runtime'
import { fault } from './faults.ts'
import type { FetchPosition } from './replication-log.ts'

/** A stored batch that cannot be read; where the next one begins, unless it is whole and only not ours to read. */
export function damagedBatch(
  { topic, kafkaPartition, kafkaOffset }: FetchPosition,
  found: { readonly problem: string; readonly nextKafkaOffset: bigint | null },
): Fault {
  const { problem, nextKafkaOffset } = found
  const next = nextKafkaOffset === null ? {} : { nextKafkaOffset: `${nextKafkaOffset}` }
  const details = { topic, kafkaPartition, kafkaOffset: `${kafkaOffset}`, ...next }
  return fault('RECORD_BATCH_CORRUPT', `${topic}/${kafkaPartition} at ${kafkaOffset}: ${problem}`, {
    details,
  })
}

/**
 * Where reading goes on behind a batch that cannot be read; null for any other cause of a failure. Whoever goes
 * there leaves records out: first try again, for the damage may have happened on the way.
 */
export function nextAfterDamage(cause: unknown): bigint | null {
  if (!(cause instanceof Fault) || cause.code !== 'RECORD_BATCH_CORRUPT') return null
  const { nextKafkaOffset } = cause.details
  return typeof nextKafkaOffset === 'string' ? BigInt(nextKafkaOffset) : null
}
