import { MiB } from '@blockferry/runtime'

/** Every wait and retry of the adapter, with its bound. Times in ms. */
export interface ConnectionLimits {
  readonly connectTimeoutMs: number
  /** From sending a request to its answer, beyond what the request itself asks the broker to wait. */
  readonly requestTimeoutMs: number
  /** The longest one fetch request waits in a broker: an answer lost unnoticed costs no more than this and the timeout. */
  readonly pollWaitMsMax: number
  /** How long one produce retries its frozen batch before it throws. */
  readonly produceDeadlineMs: number
  /** The same for offsets, topics, deletes and group joins. */
  readonly controlDeadlineMs: number
  readonly backoffMsMin: number
  readonly backoffMsMax: number
  /** A broker that has just started does not know its topics yet; after this the topic is not there. */
  readonly topicUnknownWaitMs: number
  /** Metadata older than this is asked again, which is how a recreated topic shows to a producer (K3). */
  readonly metadataAgeMsMax: number
  readonly batchBytesMax: number
  /** Long polls at a time; each has its own connections, because a broker answers in order. */
  readonly fetchesMax: number
  readonly groupSessionTimeoutMs: number
  readonly groupHeartbeatMs: number
  readonly groupRebalanceTimeoutMs: number
}

export const defaultConnectionLimits: ConnectionLimits = {
  connectTimeoutMs: 3_000,
  requestTimeoutMs: 8_000,
  pollWaitMsMax: 5_000,
  produceDeadlineMs: 10_000,
  controlDeadlineMs: 15_000,
  backoffMsMin: 50,
  backoffMsMax: 1_000,
  topicUnknownWaitMs: 3_000,
  metadataAgeMsMax: 30_000,
  batchBytesMax: 8 * MiB,
  fetchesMax: 16,
  groupSessionTimeoutMs: 6_000,
  groupHeartbeatMs: 1_000,
  groupRebalanceTimeoutMs: 6_000,
}
