import { createHttpEdge, createLogger, createMetrics } from '@blockferry/runtime/service'
import { expect, test } from 'vitest'
import type { AggregatorStatus } from '../aggregator.ts'
import { createPrometheusMeter, watchStatus } from '../prometheus-meter.ts'
import { readinessOf } from '../readiness.ts'
import { servePartitions } from './partitions-route.ts'

const status: AggregatorStatus = {
  code: null,
  why: null,
  heldBytes: 77,
  partitions: [
    {
      kafkaPartition: 3,
      state: 'HALTED',
      code: 'UNKNOWN_SCHEMA',
      nextCommand: 'Upgrade',
      inputOffset: 2n ** 60n,
      backlogRecords: 12,
      backlogAgeMs: 3400,
      resumeInputOffset: null,
      disks: 2,
      openWindows: 1,
      windowBytes: 4096,
      queuedBytes: 8192,
      passedOver: 0,
    },
  ],
}

test('the HTTP side shows each partition, why it is not ready, and its metrics', async () => {
  using metrics = createMetrics('aggregator')
  const logger = createLogger({ service: 'aggregator', level: 'fatal' })
  const meter = createPrometheusMeter(metrics)
  watchStatus(metrics, () => status)
  const edge = await createHttpEdge({
    service: 'aggregator',
    metrics,
    logger,
    readiness: () => readinessOf(status),
  })
  servePartitions(edge, () => status)
  meter.setFolded({ rawBytes: 100, dataBytes: 40, closedBy: 'time' })
  meter.groupRead({ payloadBytes: 100, events: 5, droppedEvents: 2 })
  const partitions = await edge.inject('/v1/partitions')
  expect(partitions.json()).toMatchObject({
    why: null,
    heldBytes: 77,
    partitions: [
      { kafkaPartition: 3, inputOffset: String(2n ** 60n), resumeInputOffset: null, queuedBytes: 8192 },
    ],
  })
  const ready = await edge.inject('/health/ready')
  expect(ready.statusCode).toBe(503)
  expect(ready.json()).toEqual({
    ready: false,
    reasons: ['partition 3 is HALTED (UNKNOWN_SCHEMA); next: Upgrade'],
  })
  const text = (await edge.inject('/metrics')).body
  for (const line of [
    /blockferry_aggregator_sets_total\{reason="time".*\} 1/,
    /blockferry_aggregator_duplicate_events_total\{.*\} 2/,
    /blockferry_aggregator_backlog_records\{kafka_partition="3".*\} 12/,
    /blockferry_aggregator_held_bytes\{.*\} 77/,
    /blockferry_aggregator_partition_state\{kafka_partition="3",state="HALTED".*\} 1/,
  ]) {
    expect(text).toMatch(line)
  }
  expect(Object.keys((await edge.inject('/openapi.json')).json().paths)).toContain('/v1/partitions')
  await edge.close()
})
