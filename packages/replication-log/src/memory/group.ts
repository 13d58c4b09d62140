import type { Fault } from '@blockferry/runtime'
import { fault } from '../faults.ts'
import { assignPartitions } from '../group-assignment.ts'
import type { AssignmentListener, GroupMembership, TopicPartition } from '../replication-log.ts'
import type { MemoryCluster } from './cluster.ts'

interface Member {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly fenced: PromiseWithResolvers<Fault>
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
    readonly groupInstanceId: string | null
    readonly topics: readonly string[]
    readonly onAssignment: AssignmentListener
  }): Promise<GroupMembership> {
    this.#membersMade += 1
    const memberId = `${options.clientId}-${String(this.#membersMade).padStart(6, '0')}`
    const { topics, onAssignment, groupId, groupInstanceId } = options
    const fenced = Promise.withResolvers<Fault>()
    const delivered = Promise.resolve()
    const member: Member = {
      memberId,
      groupInstanceId,
      topics,
      onAssignment,
      fenced,
      assigned: 'none',
      delivered,
    }
    this.#fence(groupId, groupInstanceId)
    this.#members.set(groupId, [...(this.#members.get(groupId) ?? []), member])
    this.#rebalance(groupId)
    await member.delivered
    const leave = async (): Promise<void> => this.#leave(groupId, member)
    return { memberId, fenced: fenced.promise, leave, [Symbol.asyncDispose]: leave }
  }

  /** A member that joins under the instance id of another takes its place. */
  #fence(groupId: string, groupInstanceId: string | null): void {
    if (groupInstanceId === null) return
    const members = this.#members.get(groupId) ?? []
    for (const member of members.filter((other) => other.groupInstanceId === groupInstanceId)) {
      this.#deliver(member, [])
      member.fenced.resolve(fault('GROUP_MEMBER_FENCED', `another member is ${groupInstanceId} now`))
    }
    this.#members.set(
      groupId,
      members.filter((other) => other.groupInstanceId !== groupInstanceId),
    )
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
