import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { assignPartitions } from './group-assignment.ts'

const topics = ['writes', 'other']

test('deals every wanted partition to exactly one member that asked for it, evenly, whatever the order of members', () => {
  const members = fc.uniqueArray(
    fc.record({ memberId: fc.string({ minLength: 1 }), topics: fc.subarray(topics, { minLength: 1 }) }),
    { minLength: 1, maxLength: 6, selector: ({ memberId }) => memberId },
  )
  const counts = fc.record({ writes: fc.nat(9), other: fc.nat(9) })
  fc.assert(
    fc.property(members, counts, (group, { writes, other }) => {
      const partitionCounts = new Map([
        ['writes', writes],
        ['other', other],
      ])
      const assignment = assignPartitions(group, partitionCounts)
      const again = assignPartitions(group.toReversed(), partitionCounts)
      for (const { memberId } of group) expect(again.get(memberId)).toEqual(assignment.get(memberId))
      for (const topic of topics) {
        const takers = group.filter((member) => member.topics.includes(topic))
        const shares = takers.map(({ memberId }) =>
          (assignment.get(memberId) ?? []).filter((own) => own.topic === topic),
        )
        const dealt = shares.flat().map(({ kafkaPartition }) => kafkaPartition)
        const count = takers.length === 0 ? 0 : (partitionCounts.get(topic) ?? 0)
        expect(dealt.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, index) => index))
        const lengths = shares.map((share) => share.length)
        if (takers.length > 0) expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1)
      }
    }),
    { numRuns: 200 },
  )
})
