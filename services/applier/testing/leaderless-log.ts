import type { FetchOutcome, FetchRequest, ReplicationLog, TopicPartition } from '@blockferry/replication-log'
import { type Clock, Fault } from '@blockferry/runtime'

/** How long the real client tries before it gives up on a partition's offsets. */
const offsetsWaitMs = 15_000

/** A partition whose leader is gone. Counts how often it is asked for records. */
export interface Leaderless extends TopicPartition {
  isGone: boolean
  asked: number
}

/** A client of a cluster in which nobody leads that partition; the others are as well as ever. */
export function leaderlessLog(log: ReplicationLog, partition: Leaderless, clock: Clock): ReplicationLog {
  const isIt = (at: TopicPartition): boolean =>
    partition.isGone && at.topic === partition.topic && at.kafkaPartition === partition.kafkaPartition
  const cause = new Fault('KAFKA_TIMEOUT', 'LEADER_NOT_AVAILABLE', { details: { transient: true } })
  const offsets: ReplicationLog['offsets'] = async (at) => {
    if (!isIt(at)) return log.offsets(at)
    await clock.sleep(offsetsWaitMs)
    throw cause
  }
  const fetch: ReplicationLog['fetch'] = async (request: FetchRequest, signal) => {
    const positions = request.positions.filter((at) => !isIt(at))
    if (positions.length === request.positions.length) return log.fetch(request, signal)
    partition.asked += 1
    if (positions.length === 0) await clock.sleep(request.waitMsMax, signal)
    const good = positions.length === 0 ? [] : await log.fetch({ ...request, positions }, signal)
    return request.positions.map(({ topic, kafkaPartition }): FetchOutcome => {
      const found = good.find((outcome) => outcome.kafkaPartition === kafkaPartition)
      return found ?? { topic, kafkaPartition, kind: 'failed', code: cause.code, cause }
    })
  }
  return new Proxy(log, {
    get: (target, name) => {
      if (name === 'offsets') return offsets
      if (name === 'fetch') return fetch
      const member: unknown = Reflect.get(target, name)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}
