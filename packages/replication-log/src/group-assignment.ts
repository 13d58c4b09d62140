import type { TopicPartition } from './replication-log.ts'

export interface GroupMember {
  readonly memberId: string
  readonly topics: readonly string[]
}

/**
 * Deals partitions to the members that asked for their topic: sorted, one after another, so every leader
 * (and the in-memory log) comes to the same answer. Every member is in the result, with an empty set if
 * there is nothing left for it.
 */
export function assignPartitions(
  members: readonly GroupMember[],
  partitionCounts: ReadonlyMap<string, number>,
): ReadonlyMap<string, readonly TopicPartition[]> {
  const assignment = new Map<string, TopicPartition[]>(members.map(({ memberId }) => [memberId, []]))
  const sortedMembers = members.toSorted((a, b) => compareText(a.memberId, b.memberId))
  for (const topic of [...partitionCounts.keys()].toSorted(compareText)) {
    const takers = sortedMembers.filter((member) => member.topics.includes(topic))
    const count = partitionCounts.get(topic) ?? 0
    for (let kafkaPartition = 0; kafkaPartition < count && takers.length > 0; kafkaPartition += 1) {
      const taker = takers[kafkaPartition % takers.length]
      if (taker !== undefined) assignment.get(taker.memberId)?.push({ topic, kafkaPartition })
    }
  }
  return assignment
}

/** By code unit: the same on every machine, whatever its locale. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
