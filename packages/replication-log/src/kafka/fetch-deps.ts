import { Fault, codeOf } from '@blockferry/runtime'
import type { FetchOutcome, FetchPosition } from '../replication-log.ts'
import type { BrokerConnections } from './broker-connections.ts'
import type { ClusterView } from './cluster-view.ts'
import type { ConnectionLimits } from './limits.ts'

export interface FetchDeps {
  readonly view: ClusterView
  /** Of this fetch alone: a broker answers one connection's requests in order, a long poll holds it. */
  readonly connections: BrokerConnections
  /** For short questions beside the long poll. */
  readonly control: BrokerConnections
  readonly limits: ConnectionLimits
}

/** A position's failure as an outcome. */
export function failedOutcome(position: FetchPosition, cause: unknown): FetchOutcome {
  const { topic, kafkaPartition } = position
  if (!(cause instanceof Fault)) throw cause
  return { topic, kafkaPartition, kind: 'failed', code: codeOf(cause), cause }
}
