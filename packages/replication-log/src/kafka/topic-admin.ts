import { assert } from '@blockferry/runtime'
import { fault } from '../faults.ts'
import type { TopicDescription, TopicSpec } from '../replication-log.ts'
import { describeDifferences, topicDifferences } from '../topic-comparison.ts'
import { kafkaErrorName } from './kafka-error-names.ts'
import { responseFault } from './kafka-error.ts'
import { type OffsetDeps, offsetRange } from './offsets.ts'
import { retrying } from './retry.ts'

const topicAlreadyExists = 36

/** Creates what is missing, then compares everything (K3). One attempt; the caller retries what is transient. */
export async function ensureTopicsOnce(
  deps: OffsetDeps,
  specs: readonly TopicSpec[],
): Promise<readonly TopicDescription[]> {
  const names = specs.map(({ topic }) => topic)
  await deps.view.refresh(names)
  const missing = specs.filter(({ topic }) => deps.view.cached(topic) === undefined)
  if (missing.length > 0) {
    await createTopics(deps, missing)
    await deps.view.refresh(names)
  }
  for (const { topic } of specs) checkLed(deps, topic)
  await checkServed(deps, missing)
  const descriptions = await describeTopics(deps, names)
  const differences = specs.flatMap((spec, index) => {
    const found = descriptions[index]
    assert(found !== undefined, 'a description for each topic')
    return topicDifferences(spec, found)
  })
  if (differences.length > 0) {
    throw fault('TOPIC_MISMATCH', describeDifferences(differences), { details: { differences } })
  }
  for (const { topic, topicId } of descriptions) deps.view.accept(topic, topicId)
  return descriptions
}

/** A topic just made has no leader for a moment; produce and fetch would find that out the slow way. */
function checkLed(deps: OffsetDeps, topic: string): void {
  const partitions = deps.view.cached(topic)?.partitions
  if (partitions !== undefined && [...partitions.values()].every(({ leaderId }) => leaderId >= 0)) return
  deps.view.forget(topic)
  throw responseFault(leaderNotAvailable, `topic ${topic}`)
}

/** Metadata names a leader before that broker has opened the partition: ask each one something. */
async function checkServed(deps: OffsetDeps, made: readonly TopicSpec[]): Promise<void> {
  const partitions = made.flatMap(({ topic, partitions: count }) =>
    Array.from({ length: count }, (_, kafkaPartition) => ({ topic, kafkaPartition })),
  )
  await Promise.all(
    partitions.map((partition) =>
      retrying(() => offsetRange(deps, partition), {
        limits: deps.limits,
        deadlineMs: deps.limits.requestTimeoutMs,
      }),
    ),
  )
}

const leaderNotAvailable = 5

async function createTopics(deps: OffsetDeps, specs: readonly TopicSpec[]): Promise<void> {
  const timeoutMs = deps.limits.requestTimeoutMs
  const answers = await deps.view.withAnyBroker((broker) =>
    deps.connections.call(broker, { ask: 'createTopics', of: { specs, timeoutMs } }, { timeoutMs }),
  )
  for (const { topic, errorCode, errorMessage } of answers) {
    // Two services that start together both create; the comparison that follows judges what exists.
    if (errorCode === 0 || errorCode === topicAlreadyExists) continue
    throw responseFault(errorCode, `creating topic ${topic} (${errorMessage ?? kafkaErrorName(errorCode)})`)
  }
}

/** Describes topics the view knows. */
async function describeTopics(
  deps: OffsetDeps,
  names: readonly string[],
): Promise<readonly TopicDescription[]> {
  const answers = await deps.view.withAnyBroker((broker) =>
    deps.connections.call(
      broker,
      { ask: 'describeTopics', of: { topics: names } },
      { timeoutMs: deps.limits.requestTimeoutMs },
    ),
  )
  return names.map((topic) => {
    const view = deps.view.cached(topic)
    const answer = answers.find((described) => described.topic === topic)
    if (view === undefined || answer === undefined)
      throw fault('TOPIC_UNKNOWN', `the cluster has no topic ${topic}`)
    if (answer.errorCode !== 0) throw responseFault(answer.errorCode, `the configuration of ${topic}`)
    return { topic, topicId: view.topicId, partitions: view.partitions.size, config: answer.config }
  })
}

/** The topic as it is now, whatever this client knew; null when there is none. */
export async function describeTopicOnce(deps: OffsetDeps, topic: string): Promise<TopicDescription | null> {
  await deps.view.refresh([topic])
  if (deps.view.cached(topic) === undefined) return null
  const [description] = await describeTopics(deps, [topic])
  return description ?? null
}

/** Deletes a topic: for tests and for whoever dismantles a site. */
export async function deleteTopicOnce(deps: OffsetDeps, topic: string): Promise<void> {
  const timeoutMs = deps.limits.requestTimeoutMs
  const { errorCode } = await deps.view.withAnyBroker((broker) =>
    deps.connections.call(broker, { ask: 'deleteTopic', of: { topic, timeoutMs } }, { timeoutMs }),
  )
  if (errorCode !== 0) throw responseFault(errorCode, `deleting topic ${topic}`)
  deps.view.forget(topic)
}
