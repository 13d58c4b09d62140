import { describe, expect, test } from 'vitest'
import type { TopicPartition } from '../replication-log.ts'
import { type ConformanceHarness, freshTopic, specOf } from './harness.ts'

const settleMs = 40_000
/** Less than a session timeout, after which a broker misses a member by itself. */
const leaveMs = 5_000

/** Remembers the last set a member was given. */
class Owned {
  sets: (readonly number[])[] = []

  readonly take = async (partitions: readonly TopicPartition[]): Promise<void> => {
    this.sets.push(partitions.map(({ kafkaPartition }) => kafkaPartition).toSorted((a, b) => a - b))
  }

  get now(): readonly number[] {
    return this.sets.at(-1) ?? []
  }
}

export function groupClaims(opened: () => ConformanceHarness): void {
  describe('a group', () => {
    test('shares all partitions between two members, and gives all to one at once when the other leaves', async () => {
      await using first = await opened().connect('member-1')
      await using second = await opened().connect('member-2')
      const topic = freshTopic()
      const groupId = `group-of-${topic}`
      await first.ensureTopics([specOf(topic, 4)])
      const [ownedByFirst, ownedBySecond] = [new Owned(), new Owned()]
      await first.joinGroup({ groupId, topics: [topic], onAssignment: ownedByFirst.take })
      expect(ownedByFirst.now).toEqual([0, 1, 2, 3])
      const membership = await second.joinGroup({
        groupId,
        topics: [topic],
        onAssignment: ownedBySecond.take,
      })
      await expect.poll(() => ownedByFirst.now.length, { timeout: settleMs }).toBe(2)
      expect([...ownedByFirst.now, ...ownedBySecond.now].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3])
      await membership.leave()
      await expect.poll(() => ownedByFirst.now, { timeout: leaveMs }).toEqual([0, 1, 2, 3])
    }, 120_000)

    test('tells a member whose instance id another one took, and gives the other its partitions', async () => {
      const groupInstanceId = 'aggregator'
      await using first = await opened().connect('member-1', { groupInstanceId })
      await using second = await opened().connect('member-2', { groupInstanceId })
      const topic = freshTopic()
      const groupId = `group-of-${topic}`
      await first.ensureTopics([specOf(topic, 2)])
      const [ownedByFirst, ownedBySecond] = [new Owned(), new Owned()]
      const membership = await first.joinGroup({ groupId, topics: [topic], onAssignment: ownedByFirst.take })
      await second.joinGroup({ groupId, topics: [topic], onAssignment: ownedBySecond.take })
      expect(await membership.fenced).toMatchObject({ code: 'GROUP_MEMBER_FENCED' })
      expect(ownedByFirst.sets).toEqual([[0, 1], []])
      await expect.poll(() => ownedBySecond.now, { timeout: settleMs }).toEqual([0, 1])
    }, 120_000)

    test('loses a member at once whose client closes', async () => {
      await using staying = await opened().connect('member-1')
      const closing = await opened().connect('member-2')
      const topic = freshTopic()
      const groupId = `group-of-${topic}`
      await staying.ensureTopics([specOf(topic, 2)])
      const [owned, ownedByOther] = [new Owned(), new Owned()]
      await closing.joinGroup({ groupId, topics: [topic], onAssignment: ownedByOther.take })
      await staying.joinGroup({ groupId, topics: [topic], onAssignment: owned.take })
      await expect.poll(() => owned.now.length, { timeout: settleMs }).toBe(1)
      await closing.close()
      await expect.poll(() => owned.now, { timeout: leaveMs }).toEqual([0, 1])
    }, 120_000)
  })
}
