import { codeOf } from '@blockferry/runtime'

/**
 * What the same client never gets over: it holds on to what it first saw of the cluster (K3). A new one takes
 * the cluster as it is now. Everything else is tried again with the same client.
 */
const ending: ReadonlySet<string> = new Set([
  'TOPIC_RECREATED',
  'TOPIC_MISMATCH',
  'KAFKA_UNSUPPORTED',
  'LOG_CLOSED',
])

/** True when a new client is needed. */
export function endsClient(error: unknown): boolean {
  return ending.has(codeOf(error))
}
