import { describe, expect, test } from 'vitest'
import { flowState, mirroredOffsets } from './mirror-flow.ts'

const at = (state: string, timestampMs: number, trace: string | null = null) => ({
  value: JSON.stringify({ state, trace, worker_id: 'w', generation: 1 }),
  timestampMs,
})

describe('the state of a mirror flow', () => {
  test('is running when the source connector and one of its tasks run', () => {
    const status = new Map([
      ['status-connector-MirrorSourceConnector', at('RUNNING', 10)],
      ['status-task-MirrorSourceConnector-0', at('RUNNING', 11)],
      ['status-connector-MirrorCheckpointConnector', at('RUNNING', 11)],
    ])
    expect(flowState(status, 5)).toEqual({ running: true, failed: [] })
  })

  test('is not running while only the connector runs', () => {
    const status = new Map([['status-connector-MirrorSourceConnector', at('RUNNING', 10)]])
    expect(flowState(status, 5).running).toBe(false)
  })

  test('names what FAILED and the first line of why', () => {
    const status = new Map([
      ['status-connector-MirrorSourceConnector', at('RUNNING', 10)],
      ['status-task-MirrorSourceConnector-0', at('RUNNING', 10)],
      ['status-task-MirrorSourceConnector-1', at('FAILED', 10, 'OutOfMemoryError: Java heap\n\tat …')],
    ])
    expect(flowState(status, 5)).toEqual({
      running: false,
      failed: ['task-MirrorSourceConnector-1: OutOfMemoryError: Java heap'],
    })
  })

  test('ignores what a JVM before this one wrote', () => {
    const status = new Map([
      ['status-connector-MirrorSourceConnector', at('RUNNING', 4)],
      ['status-task-MirrorSourceConnector-0', at('FAILED', 4, 'old')],
    ])
    expect(flowState(status, 5)).toEqual({ running: false, failed: [] })
  })

  test('survives tombstones and foreign values', () => {
    const status = new Map([
      ['status-task-MirrorSourceConnector-0', { value: '', timestampMs: 10 }],
      ['other', { value: '[1]', timestampMs: 10 }],
    ])
    expect(flowState(status, 5)).toEqual({ running: false, failed: [] })
  })
})

test('mirrored offsets are those after the last record of each source partition', () => {
  const key = (connector: string, partition: number) =>
    JSON.stringify([connector, { cluster: 'site-a', partition, topic: 'updates' }])
  const offsets = new Map([
    [key('MirrorSourceConnector', 0), { value: '{"offset":41}', timestampMs: 1 }],
    [key('MirrorSourceConnector', 1), { value: '', timestampMs: 1 }],
    [key('MirrorHeartbeatConnector', 2), { value: '{"offset":7}', timestampMs: 1 }],
    ['not json', { value: '{"offset":7}', timestampMs: 1 }],
  ])
  expect([...mirroredOffsets(offsets)]).toEqual([['updates/0', 42n]])
})
