import { assert } from '@blockferry/runtime'
import { damagedBatch } from '../damaged-batch.ts'
import type { FetchOutcome, FetchPosition, FetchRequest } from '../replication-log.ts'
import { brokerName } from './broker-connections.ts'
import type { PartitionLeader } from './cluster-view.ts'
import type { Broker, FetchAnswer, FetchedPartition } from './exchanges.ts'
import { type FetchDeps, failedOutcome } from './fetch-deps.ts'
import { isTransient, isUnknownTopic, responseFault, timeoutFault } from './kafka-error.ts'
import { offsetRange } from './offsets.ts'
import { decodeRecordBatches } from './record-batch-decoder.ts'

const offsetOutOfRange = 1
/** With several leaders each is polled this briefly, so that none waits out another's silence. */
const sharedWaitMsMax = 25
/** What one leader's news gives the others before they are left behind for this round. */
const graceMs = 250

interface LedPosition {
  readonly position: FetchPosition
  readonly leader: PartitionLeader
}

/** Asks the leader of each position; outcomes in the order asked. Throws only when the signal aborts. */
export async function fetchFromLeaders(
  deps: FetchDeps,
  request: FetchRequest,
  signal: AbortSignal,
): Promise<readonly FetchOutcome[]> {
  const outcomes = new Map<FetchPosition, FetchOutcome>()
  const led = await Promise.all(
    request.positions.map(async (position) => {
      try {
        return { position, leader: await deps.view.leader(position) }
      } catch (error) {
        outcomes.set(position, failedOutcome(position, error))
        return null
      }
    }),
  )
  signal.throwIfAborted()
  const groups = Map.groupBy(
    led.filter((entry): entry is LedPosition => entry !== null),
    ({ leader }) => brokerName(leader.broker),
  )
  await askLeaders(deps, { request, groups: [...groups.values()], signal, outcomes })
  return request.positions.map((position) => {
    const outcome = outcomes.get(position)
    assert(outcome !== undefined, 'every position was led or failed')
    return outcome
  })
}

interface Round {
  readonly request: FetchRequest
  readonly groups: readonly (readonly LedPosition[])[]
  readonly signal: AbortSignal
  readonly outcomes: Map<FetchPosition, FetchOutcome>
}

async function askLeaders(deps: FetchDeps, { request, groups, signal, outcomes }: Round): Promise<void> {
  const shared = groups.length > 1
  const late = new AbortController()
  const waitMs = shared ? Math.min(request.waitMsMax, sharedWaitMsMax) : request.waitMsMax
  const bytesMax = Math.max(1, Math.floor(request.bytesMax / Math.max(1, groups.length)))
  let grace: NodeJS.Timeout | undefined
  const asking = groups.map(async (group) => {
    const found = await askLeader(deps, {
      group,
      request: { ...request, waitMsMax: waitMs, bytesMax },
      signal: shared ? AbortSignal.any([signal, late.signal]) : signal,
    })
    for (const [position, outcome] of found) outcomes.set(position, outcome)
    const hasRecords = [...found.values()].some(({ kind }) => kind !== 'failed')
    if (shared && hasRecords) {
      grace ??= setTimeout(() => late.abort(timeoutFault('a slower leader', graceMs)), graceMs)
    }
  })
  try {
    await Promise.all(asking)
  } finally {
    clearTimeout(grace)
  }
}

interface LeaderPoll {
  readonly group: readonly LedPosition[]
  readonly request: FetchRequest
  readonly signal: AbortSignal
}

async function askLeader(
  deps: FetchDeps,
  { group, request, signal }: LeaderPoll,
): Promise<ReadonlyMap<FetchPosition, FetchOutcome>> {
  const outcomes = new Map<FetchPosition, FetchOutcome>()
  const broker = group[0]?.leader.broker
  assert(broker !== undefined, 'a group has at least one position')
  try {
    const answer = await send(deps, { broker, group, request, signal })
    for (const { position, leader } of group) {
      const part = answer.partitions.find(
        ({ topicId, kafkaPartition }) =>
          topicId === leader.topicId && kafkaPartition === position.kafkaPartition,
      )
      outcomes.set(position, await readPart(deps, position, part))
    }
  } catch (error) {
    for (const { position } of group) {
      deps.view.forget(position.topic)
      outcomes.set(position, failedOutcome(position, error))
    }
  }
  return outcomes
}

async function send(
  deps: FetchDeps,
  { broker, group, request, signal }: LeaderPoll & { readonly broker: Broker },
): Promise<FetchAnswer> {
  const partitions = group.map(({ position, leader }) => ({
    topicId: leader.topicId,
    kafkaPartition: position.kafkaPartition,
    leaderEpoch: leader.leaderEpoch,
    kafkaOffset: position.kafkaOffset,
    bytesMax: request.partitionBytesMax,
  }))
  const waitMs = Math.floor(request.waitMsMax)
  const answer = await deps.connections.call(
    broker,
    { ask: 'fetch', of: { waitMs, bytesMax: request.bytesMax, partitions } },
    { timeoutMs: waitMs + deps.limits.requestTimeoutMs, signal },
  )
  if (answer.errorCode !== 0) throw responseFault(answer.errorCode, `a fetch from ${brokerName(broker)}`)
  return answer
}

async function readPart(
  deps: FetchDeps,
  position: FetchPosition,
  part: FetchedPartition | undefined,
): Promise<FetchOutcome> {
  const { topic, kafkaPartition, kafkaOffset } = position
  try {
    if (part === undefined) throw responseFault(unknownTopicId, `${topic}/${kafkaPartition}`)
    if (part.errorCode === offsetOutOfRange) {
      const range = await offsetRange({ ...deps, connections: deps.control }, position)
      return { topic, kafkaPartition, kind: 'outOfRange', ...range }
    }
    if (part.errorCode !== 0) throw responseFault(part.errorCode, `${topic}/${kafkaPartition}`)
    const { batches: bytes, highWatermark } = part
    const { records, nextKafkaOffset, problem, behindDamage } = decodeRecordBatches(
      { bytes, highWatermark },
      kafkaOffset,
    )
    if (problem !== null && nextKafkaOffset === kafkaOffset) {
      throw damagedBatch(position, { problem, nextKafkaOffset: behindDamage })
    }
    return {
      topic,
      kafkaPartition,
      kind: 'records',
      records,
      nextKafkaOffset,
      highWatermark,
    }
  } catch (error) {
    if (isTransient(error) || isUnknownTopic(error)) deps.view.forget(topic)
    return failedOutcome(position, error)
  }
}

const unknownTopicId = 100
