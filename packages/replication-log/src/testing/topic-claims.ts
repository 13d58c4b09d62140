import { describe, expect, test } from 'vitest'
import { type ConformanceHarness, fetchOf, freshTopic, numbered, specOf } from './harness.ts'

export function topicClaims(opened: () => ConformanceHarness): void {
  describe('topics', () => {
    test('are created once, with the configuration given, and described as they are', async () => {
      await using log = await opened().connect('conformance')
      const specs = [specOf(freshTopic(), 3), specOf(freshTopic(), 1, { 'cleanup.policy': 'compact,delete' })]
      const created = await log.ensureTopics(specs)
      const again = await log.ensureTopics(specs)
      expect(again).toEqual(created)
      for (const [index, { topic, partitions, config }] of specs.entries()) {
        expect(created[index]).toMatchObject({ topic, partitions, config })
        expect(await log.describeTopic(topic)).toEqual(created[index])
      }
      expect(new Set(created.map(({ topicId }) => topicId)).size).toBe(2)
    })

    test('that differ are refused with every difference named (K3)', async () => {
      await using log = await opened().connect('conformance')
      const [first, second] = [freshTopic(), freshTopic()]
      await log.ensureTopics([specOf(first, 2), specOf(second)])
      const wanted = [
        specOf(first, 3, { 'retention.ms': '1000' }),
        specOf(second, 1, { 'cleanup.policy': 'compact' }),
      ]
      await expect(log.ensureTopics(wanted)).rejects.toMatchObject({
        code: 'TOPIC_MISMATCH',
        details: {
          differences: [
            { topic: first, setting: 'partitions', expected: '3', found: '2' },
            { topic: first, setting: 'retention.ms', expected: '1000', found: '86400000' },
            { topic: second, setting: 'cleanup.policy', expected: 'compact', found: 'delete' },
          ],
        },
      })
    })

    test('that do not exist are described as null', async () => {
      await using log = await opened().connect('conformance')
      expect(await log.describeTopic(freshTopic())).toBeNull()
    })

    test('deleted and made again are refused by whoever knew them, and serve whoever did not (K3)', async () => {
      await using log = await opened().connect('conformance')
      const topic = freshTopic()
      const partition = { topic, kafkaPartition: 0 }
      const [before] = await log.ensureTopics([specOf(topic)])
      await log.produce({ ...partition, records: numbered(0, 5) })
      await opened().deleteTopic(topic)
      await using fresh = await opened().connect('conformance-2')
      const [after] = await fresh.ensureTopics([specOf(topic)])
      expect(after?.topicId).not.toBe(before?.topicId)
      const fetched = await log.fetch(fetchOf([{ ...partition, kafkaOffset: 5n }], 1_000))
      expect(fetched).toMatchObject([{ kind: 'failed', code: 'TOPIC_RECREATED' }])
      await expect(log.produce({ ...partition, records: numbered(5, 1) })).rejects.toMatchObject({
        code: 'TOPIC_RECREATED',
      })
      await expect(log.ensureTopics([specOf(topic)])).rejects.toMatchObject({ code: 'TOPIC_RECREATED' })
      await fresh.produce({ ...partition, records: numbered(0, 1) })
      expect(await fresh.offsets(partition)).toEqual({ earliest: 0n, latest: 1n })
    })
  })
}
