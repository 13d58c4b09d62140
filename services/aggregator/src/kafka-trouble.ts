import { codeOf } from '@blockferry/runtime'

/**
 * Errors that this client may still get over: the brokers' side can change. Each is tried again for ever
 * at a capped interval, visibly. Anything else ends the session, and a new client resumes from K4.
 */
const passing: ReadonlySet<string> = new Set([
  'KAFKA_UNREACHABLE',
  'KAFKA_TIMEOUT',
  'KAFKA_REJECTED',
  'PRODUCER_FENCED',
  'RECORD_TOO_LARGE',
  'NOT_AUTHORIZED',
  'TIMESTAMP_REJECTED',
  'RECORD_BATCH_CORRUPT',
  'TOPIC_UNKNOWN',
])

/** True when the same client may try the same again. */
export function isPassing(error: unknown): boolean {
  return passing.has(codeOf(error))
}
