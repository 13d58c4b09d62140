import type { Metrics } from '@blockferry/runtime/service'
import { applierStates } from '@blockferry/disk-stream'
import type { Applier } from '../applier.ts'
import type { ApplierStats } from '../volume/stats.ts'

/** Counts of the process, by metric name. */
const counters: readonly (readonly [keyof ApplierStats, string, string])[] = [
  ['setsAccepted', 'applier_sets_accepted_total', 'Update sets accepted into the redo journal.'],
  ['eventsAccepted', 'applier_events_accepted_total', 'Events in them.'],
  ['bytesFetched', 'applier_fetched_bytes_total', 'Record bytes fetched from Kafka B.'],
  ['duplicatesDropped', 'applier_duplicates_dropped_total', 'Sets that were here already (S9).'],
  ['staleDropped', 'applier_stale_dropped_total', 'Sets of a writer that was left behind (S9).'],
  ['undecodable', 'applier_undecodable_total', 'Records given up as undecodable.'],
  ['damagedBatches', 'applier_damaged_batches_total', 'Stored batches left behind as unreadable.'],
  ['gaps', 'applier_gaps_total', 'Times a stream stood halted for something missing or different.'],
  ['resendsRequested', 'applier_resends_requested_total', 'Re-sends asked of the source.'],
  ['resyncsRequested', 'applier_resyncs_requested_total', 'Resyncs asked of the source.'],
  ['batchesApplied', 'applier_batches_applied_total', 'Batches written to images.'],
  ['framesApplied', 'applier_sets_applied_total', 'Update sets written to images.'],
  ['bytesApplied', 'applier_applied_bytes_total', 'Bytes written to images.'],
  ['parked', 'applier_parked_total', 'Times a disk was left in Kafka B for a while.'],
  ['framesCopiedForward', 'applier_frames_copied_forward_total', 'Journal frames copied to its end.'],
  ['fetchFailures', 'applier_fetch_failures_total', 'Failed fetches.'],
  ['journalFailures', 'applier_journal_failures_total', 'Group commits that failed.'],
  ['reportsSent', 'applier_position_reports_total', 'Position reports published.'],
  ['lagClientsDropped', 'applier_lag_clients_dropped_total', 'Feed clients closed for reading too slowly.'],
  [
    'lagClientsRefused',
    'applier_lag_clients_refused_total',
    'Feed clients closed because there were too many.',
  ],
]

/** Gauges and counters, read off the applier when scraped. */
export function watchApplier(metrics: Metrics, applier: Applier): void {
  watchCounts(metrics, applier)
  watchVolume(metrics, applier)
  watchDisks(metrics, applier)
}

function watchCounts(metrics: Metrics, applier: Applier): void {
  const { stats } = applier.volume
  const shown = new Map<string, number>()
  for (const [key, name, help] of counters) {
    const counter = metrics.counter(name, help)
    const collect = (): void => {
      counter.inc(stats[key] - (shown.get(name) ?? 0))
      shown.set(name, stats[key])
    }
    Object.assign(counter, { collect })
  }
}

function watchVolume(metrics: Metrics, applier: Applier): void {
  const { volume } = applier
  const gauge = (name: string, help: string, read: () => number): void => {
    const made = metrics.gauge(name, help)
    Object.assign(made, { collect: () => made.set(read()) })
  }
  gauge('applier_journal_allocated_bytes', 'Redo journal on disk.', () => volume.journal.allocatedBytes)
  gauge('applier_journal_commits', 'Group commits since start.', () => volume.journal.appends)
  gauge('applier_checkpoints', 'Checkpoints written since start.', () => volume.checkpoint.writes)
  gauge('applier_checkpoint_bytes', 'The newest checkpoint, packed.', () => volume.checkpointBytes)
  gauge('applier_checkpoint_max_bytes', 'The largest one that fits.', () => volume.checkpointBytesMax)
  gauge('applier_recovery_points', 'Recovery points in the index.', () => volume.index.count)
  gauge('applier_void_cuts', 'Recovery points found void since start.', () => volume.cuts.voidCount)
  gauge('applier_lag_clients', 'Clients of the live feed.', () => volume.stats.lagClients)
  gauge('applier_lag_buffered_bytes', 'Left unread by all of them.', () => volume.stats.lagBufferedBytes)
  const p99 = (window: typeof volume.commitTimes) => (window.percentiles(performance.now()).p99 ?? 0) / 1000
  gauge('applier_commit_p99_seconds', 'Append and fdatasync of a group commit, last minute.', () =>
    p99(volume.commitTimes),
  )
  gauge('applier_arrival_p99_seconds', 'From Kafka B to the journal, last minute.', () =>
    p99(volume.arrivalDelays),
  )
  gauge('applier_apply_last_seconds', 'Duration of the newest batch.', () => volume.stats.applyMsLast / 1000)
  gauge('applier_apply_seconds', 'Time spent in batches since start.', () => volume.stats.applyMsTotal / 1000)
}

function watchDisks(metrics: Metrics, applier: Applier): void {
  const labels = ['disk']
  const state = metrics.gauge('disk_state', '1 for the state a disk is in (R6).', [...labels, 'state'])
  const halted = metrics.gauge('disk_code', '1 for the code a disk shows.', [...labels, 'code'])
  const age = metrics.gauge(
    'recovery_point_age_seconds',
    'What a takeover now would lose (design §9).',
    labels,
  )
  const p50 = metrics.gauge('replication_delay_p50_seconds', 'Received − captured, last minute.', labels)
  const p99 = metrics.gauge('replication_delay_p99_seconds', 'Received − captured, last minute.', labels)
  const pendingWrites = metrics.gauge('pending_writes', 'Numbered at the source, not received.', labels)
  const pendingBytes = metrics.gauge('pending_bytes', 'The same in bytes, estimated.', labels)
  const received = metrics.gauge('received_sequence', 'End of the redo journal.', labels)
  const applied = metrics.gauge('applied_sequence', 'In the image.', labels)
  const journal = metrics.gauge('journal_pending_bytes', 'In the journal, not in the image.', labels)
  const stage = metrics.gauge('stage_age_seconds', 'Age of the oldest event in a stage.', [
    ...labels,
    'stage',
  ])
  const all = [state, halted, age, p50, p99, pendingWrites, pendingBytes, received, applied, journal, stage]
  const collect = (): void => {
    for (const gauge of all) gauge.reset()
    for (const sample of applier.lag.samples()) {
      const disk = { disk: sample.diskId }
      for (const name of applierStates) state.set({ ...disk, state: name }, name === sample.state ? 1 : 0)
      if (sample.code !== null) halted.set({ ...disk, code: sample.code }, 1)
      if (sample.recoveryPointAgeMs !== null) age.set(disk, sample.recoveryPointAgeMs / 1000)
      if (sample.replicationDelayMs.p50 !== null) p50.set(disk, sample.replicationDelayMs.p50 / 1000)
      if (sample.replicationDelayMs.p99 !== null) p99.set(disk, sample.replicationDelayMs.p99 / 1000)
      pendingWrites.set(disk, sample.pendingWrites)
      pendingBytes.set(disk, sample.pendingBytes)
      received.set(disk, sample.received?.sequence ?? 0)
      applied.set(disk, sample.applied?.sequence ?? 0)
      journal.set(disk, applier.volume.disks.get(sample.diskId)?.frames.bytes ?? 0)
      for (const [name, ms] of Object.entries(sample.stages)) {
        stage.set({ ...disk, stage: name.slice(0, -2) }, ms / 1000)
      }
    }
  }
  // One gauge's collection reads them all, before the registry reads the others.
  Object.assign(state, { collect })
}
