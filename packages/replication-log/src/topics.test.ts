import { describe, expect, test } from 'vitest'
import { remoteTopic, siteTopicSpecs } from './topics.ts'

const specsA = siteTopicSpecs({ site: 'site-a', peerSite: 'site-b', partitions: 2, keptStreamBytes: 999 })

function configOf(topic: string): Readonly<Record<string, string>> {
  const spec = specsA.find((candidate) => candidate.topic === topic)
  if (spec === undefined) throw new Error(`no spec for ${topic}`)
  return spec.config
}

describe('the topic table', () => {
  test('names remote topics as MirrorMaker does (K1)', () => {
    expect(remoteTopic('site-a', 'updates')).toBe('site-a.updates')
  })

  test('gives a cluster all topics a site can need, whichever way replication runs', () => {
    expect(specsA.map(({ topic }) => topic).toSorted()).toEqual(
      [
        'disks',
        'positions',
        'requests',
        'site-b.disks',
        'site-b.positions',
        'site-b.requests',
        'site-b.updates',
        'updates',
        'writes',
      ].toSorted(),
    )
  })

  test('gives writes, updates and their mirror the same partitions, and state topics one (K2)', () => {
    const partitions = new Map(specsA.map((spec) => [spec.topic, spec.partitions]))
    expect([partitions.get('writes'), partitions.get('updates'), partitions.get('site-b.updates')]).toEqual([
      2, 2, 2,
    ])
    expect(specsA.filter((spec) => spec.partitions === 1)).toHaveLength(6)
  })

  test('never compacts the stream by key (K4)', () => {
    for (const topic of ['writes', 'updates', 'site-b.updates']) {
      expect(configOf(topic)['cleanup.policy']).toBe('delete')
    }
  })

  test('bounds the kept stream by bytes alone', () => {
    expect(configOf('site-b.updates')).toMatchObject({ 'retention.ms': '-1', 'retention.bytes': '999' })
  })

  test('sets time, size, retention and replicas explicitly on every topic (K3)', () => {
    for (const { config } of specsA) {
      expect(config['message.timestamp.type']).toBe('LogAppendTime')
      expect(config['max.message.bytes']).toBe('8388608')
      for (const setting of [
        'cleanup.policy',
        'retention.ms',
        'retention.bytes',
        'segment.bytes',
        'min.insync.replicas',
      ]) {
        expect(config).toHaveProperty([setting])
      }
    }
  })
})
