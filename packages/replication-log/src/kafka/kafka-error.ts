import { Fault } from '@blockferry/runtime'
import type { ReplicationLogCode } from '../error-catalogue.ts'
import { fault } from '../faults.ts'
import { kafkaErrorName } from './kafka-error-names.ts'

/** Kafka's names of errors that another try, or another broker, can change. */
const transientNames = new Set([
  // A broker that is starting or stopping answers this for requests it serves a second later.
  'UNKNOWN_SERVER_ERROR',
  'CORRUPT_MESSAGE',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_OR_FOLLOWER',
  'REQUEST_TIMED_OUT',
  'BROKER_NOT_AVAILABLE',
  'REPLICA_NOT_AVAILABLE',
  'NETWORK_EXCEPTION',
  'COORDINATOR_LOAD_IN_PROGRESS',
  'COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR',
  'NOT_ENOUGH_REPLICAS',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'NOT_CONTROLLER',
  'KAFKA_STORAGE_ERROR',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'OFFSET_NOT_AVAILABLE',
  'THROTTLING_QUOTA_EXCEEDED',
  'BROKER_ID_NOT_REGISTERED',
])

const codesByName: Readonly<Record<string, ReplicationLogCode>> = {
  UNKNOWN_TOPIC_OR_PARTITION: 'TOPIC_UNKNOWN',
  UNKNOWN_TOPIC_ID: 'TOPIC_UNKNOWN',
  INCONSISTENT_TOPIC_ID: 'TOPIC_UNKNOWN',
  INVALID_TOPIC_EXCEPTION: 'TOPIC_UNKNOWN',
  MESSAGE_TOO_LARGE: 'RECORD_TOO_LARGE',
  RECORD_LIST_TOO_LARGE: 'RECORD_TOO_LARGE',
  TOPIC_AUTHORIZATION_FAILED: 'NOT_AUTHORIZED',
  GROUP_AUTHORIZATION_FAILED: 'NOT_AUTHORIZED',
  CLUSTER_AUTHORIZATION_FAILED: 'NOT_AUTHORIZED',
  SASL_AUTHENTICATION_FAILED: 'NOT_AUTHORIZED',
  INVALID_TIMESTAMP: 'TIMESTAMP_REJECTED',
  OUT_OF_ORDER_SEQUENCE_NUMBER: 'PRODUCER_FENCED',
  DUPLICATE_SEQUENCE_NUMBER: 'PRODUCER_FENCED',
  UNKNOWN_PRODUCER_ID: 'PRODUCER_FENCED',
  INVALID_PRODUCER_EPOCH: 'PRODUCER_FENCED',
  INVALID_PRODUCER_ID_MAPPING: 'PRODUCER_FENCED',
  PRODUCER_FENCED: 'PRODUCER_FENCED',
  FENCED_INSTANCE_ID: 'GROUP_MEMBER_FENCED',
  UNSUPPORTED_VERSION: 'KAFKA_UNSUPPORTED',
  UNKNOWN_SERVER_ERROR: 'KAFKA_REJECTED',
}

/** An error code of a response in our words; `details.transient` says whether another try makes sense. */
export function responseFault(errorCode: number, what: string): Fault {
  const kafkaError = kafkaErrorName(errorCode)
  const transient = transientNames.has(kafkaError)
  const code = codesByName[kafkaError] ?? (transient ? 'KAFKA_TIMEOUT' : 'KAFKA_REJECTED')
  return fault(code, `${what}: the broker answers ${kafkaError}`, { details: { kafkaError, transient } })
}

/** What a library threw instead of an answer; `refused` when it says that our credentials were not accepted. */
export function requestFault(cause: unknown, where: string, refused: boolean): Fault {
  if (cause instanceof Fault) return cause
  if (refused) return fault('NOT_AUTHORIZED', `${where} refuses this client's credentials`, { cause })
  const reason = cause instanceof Error ? cause.message : String(cause)
  return fault('KAFKA_UNREACHABLE', `${where}: ${reason}`, { cause, details: { transient: true } })
}

/** No answer in time: what was asked may or may not have happened. */
export function timeoutFault(where: string, timeoutMs: number): Fault {
  return fault('KAFKA_TIMEOUT', `${where} did not answer within ${timeoutMs} ms`, {
    details: { transient: true },
  })
}

export function isTransient(error: unknown): boolean {
  return error instanceof Fault && error.details['transient'] === true
}

export function isUnknownTopic(error: unknown): boolean {
  return error instanceof Fault && error.code === 'TOPIC_UNKNOWN'
}
