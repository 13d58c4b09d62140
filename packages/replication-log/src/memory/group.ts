import { assignPartitions } from '../group-assignment.ts'
import type { AssignmentListener, GroupMembership, TopicPartition } from '../replication-log.ts'
import type { MemoryCluster } from './cluster.ts'

interface Member {
  readonly memberId: string
  readonly topics: readonly string[]
  readonly onAssignment: AssignmentListener
  assigned: string
  /** Assignments are delivered one after another, each once the one before was taken. */
  delivered: Promise<void>
}

/** Group coordination of a memory cluster: assignment only, no offsets (K4). */
export class MemoryGroups {
  readonly #cluster: MemoryCluster
  readonly #members = new Map<string, Member[]>()
  #membersMade = 0

  constructor(cluster: MemoryCluster) {
    this.#cluster = cluster
  }

  async join(options: {
    readonly groupId: string
    readonly clientId: string
    readonly topics: readonly string[]
    readonly onAssignment: AssignmentListener
  }): Promise<GroupMembership> {
    this.#membersMade += 1
    const memberId = `${options.clientId}-${String(this.#membersMade).padStart(6, '0')}`
    const { topics, onAssignment, groupId } = options
    const member: Member = { memberId, topics, onAssignment, assigned: 'none', delivered: Promise.resolve() }
    this.#members.set(groupId, [...(this.#members.get(groupId) ?? []), member])
    this.#rebalance(groupId)
    await member.delivered
    const leave = async (): Promise<void> => this.#leave(groupId, member)
    return { memberId, leave, [Symbol.asyncDispose]: leave }
  }

  async #leave(groupId: string, member: Member): Promise<void> {
    const left = (this.#members.get(groupId) ?? []).filter((other) => other !== member)
    if (left.length === this.#members.get(groupId)?.length) return
    this.#members.set(groupId, left)
    this.#rebalance(groupId)
    await member.delivered
  }

  #rebalance(groupId: string): void {
    const members = this.#members.get(groupId) ?? []
    const topics = [...new Set(members.flatMap((member) => member.topics))]
    const counts = new Map(topics.map((topic) => [topic, this.#cluster.topic(topic)?.partitions.length ?? 0]))
    const assignment = assignPartitions(members, counts)
    for (const member of members) this.#deliver(member, assignment.get(member.memberId) ?? [])
  }

  #deliver(member: Member, partitions: readonly TopicPartition[]): void {
    const assigned = JSON.stringify(partitions)
    if (assigned === member.assigned) return
    member.assigned = assigned
    member.delivered = member.delivered.then(() => member.onAssignment(partitions))
  }
}
