import type { Metrics } from '@blockferry/runtime/service'
import type { AggregatorStatus } from './aggregator.ts'
import { partitionStates } from './partition-progress.ts'
import type { AggregatorMeter } from './ports.ts'

/** Counts for Prometheus (A4). Reduction = 1 − packed/read. */
export function createPrometheusMeter(metrics: Metrics): AggregatorMeter {
  const read = metrics.counter('aggregator_read_bytes_total', 'Write data read from the raw writes.')
  const groups = metrics.counter('aggregator_groups_total', 'Write groups read.')
  const events = metrics.counter('aggregator_events_total', 'Events read.')
  const duplicates = metrics.counter(
    'aggregator_duplicate_events_total',
    'Events dropped as duplicates (A1).',
  )
  const heartbeats = metrics.counter('aggregator_heartbeats_total', 'Heartbeats passed on.')
  const raw = metrics.counter('aggregator_raw_bytes_total', 'Write data in closed windows, before folding.')
  const folded = metrics.counter('aggregator_folded_bytes_total', 'Write data left after folding.')
  const packed = metrics.counter('aggregator_packed_bytes_total', 'Payload of update sets as sent.')
  const sets = metrics.counter('aggregator_sets_total', 'Windows closed, by reason (A2).', ['reason'])
  const records = metrics.counter('aggregator_produced_records_total', 'Records acknowledged by Kafka.')
  const bytes = metrics.counter('aggregator_produced_bytes_total', 'Bytes acknowledged by Kafka.')
  const latency = metrics.histogram({
    name: 'aggregator_produce_seconds',
    help: 'From the first attempt of a batch to its acknowledgement.',
  })
  const unreadable = metrics.counter('aggregator_unreadable_reads_total', 'Reads of a bad record.', ['code'])
  const passedOver = metrics.counter('aggregator_passed_over_records_total', 'Records left out.', ['code'])
  const failures = metrics.counter('aggregator_kafka_failures_total', 'Failed Kafka operations.', ['code'])
  return {
    groupRead(group) {
      groups.inc()
      read.inc(group.payloadBytes)
      events.inc(group.events)
      duplicates.inc(group.droppedEvents)
    },
    heartbeatPassed: () => heartbeats.inc(),
    setFolded({ rawBytes, dataBytes, closedBy }) {
      raw.inc(rawBytes)
      folded.inc(dataBytes)
      sets.inc({ reason: closedBy })
    },
    setPacked: (packedBytes) => packed.inc(packedBytes),
    produced(batch) {
      records.inc(batch.records)
      bytes.inc(batch.bytes)
      latency.observe(batch.latencyMs / 1000)
    },
    recordUnreadable: (code) => unreadable.inc({ code }),
    recordPassedOver: (code) => passedOver.inc({ code }),
    kafkaFailed: (code) => failures.inc({ code }),
  }
}

/** Gauges that are read off the status when scraped. */
export function watchStatus(metrics: Metrics, read: () => AggregatorStatus): void {
  const held = metrics.gauge('aggregator_held_bytes', 'Held of the folding budget (A3).')
  const labels = ['kafka_partition']
  const records = metrics.gauge('aggregator_backlog_records', 'Raw writes not yet read.', labels)
  const age = metrics.gauge('aggregator_backlog_age_seconds', 'Age of the oldest of them.', labels)
  const windows = metrics.gauge('aggregator_window_bytes', 'Held in open windows.', labels)
  const queued = metrics.gauge('aggregator_queued_bytes', 'Waiting for or on its way to Kafka.', labels)
  const state = metrics.gauge('aggregator_partition_state', '1 for the state it is in.', [...labels, 'state'])
  const all = [records, age, windows, queued, state]
  const set = (): void => {
    for (const gauge of all) gauge.reset()
    const status = read()
    held.set(status.heldBytes)
    for (const partition of status.partitions) {
      const label = { kafka_partition: partition.kafkaPartition }
      records.set(label, partition.backlogRecords ?? 0)
      age.set(label, partition.backlogAgeMs / 1000)
      windows.set(label, partition.windowBytes)
      queued.set(label, partition.queuedBytes)
      for (const name of partitionStates)
        state.set({ ...label, state: name }, name === partition.state ? 1 : 0)
    }
  }
  // One gauge's collection reads them all, before the registry reads the others.
  Object.assign(held, { collect: set })
}
