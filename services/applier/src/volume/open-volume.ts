import { accept, type JudgeContext, judge, noteStamp, type UpdateSet } from '@blockferry/disk-stream'
import { assert, type Clock } from '@blockferry/runtime'
import { decodeRecord } from '@blockferry/schemas'
import type { Frame } from '@blockferry/segment-log'
import type { SourceView } from '../disk/disk.ts'
import type { ApplierOptions } from '../options.ts'
import type { ApplierDeps } from '../ports.ts'
import { takeAccepted } from './accepted-set.ts'
import {
  type CheckpointBody,
  type CheckpointDisk,
  decodeCheckpoint,
  emptyCheckpoint,
  type RememberedSource,
} from './checkpoint-body.ts'
import { Journal } from './journal.ts'
import { decodeJournalFrame, type JournalFrame } from './journal-frame.ts'
import { RecoveryPointIndex } from './recovery-point-index.ts'
import { Volume } from './volume.ts'

/*
 * Start of a volume: the checkpoint, then the redo journal through the same apply rule that accepted it
 * (R2). Kafka is not asked. Invariants:
 *
 * V1  The rule is pure, so what was accepted once is accepted again, and nothing else is.
 * V2  If the journal has lost frames that were durable, reading of Kafka B goes back to where each disk
 *     stands: S9 drops what is already there.
 * V3  A checkpoint of what was found is durable before anything new is acknowledged: LSNs it names are
 *     the log's own. While it cannot be written the volume is open and receiving waits for it.
 */

export async function openVolume(deps: ApplierDeps, options: ApplierOptions): Promise<Volume> {
  const slots = await deps.openCheckpoint()
  const { newest } = slots
  const checkpoint = newest === null ? emptyCheckpoint : decodeCheckpoint(newest.record)
  const place = { scanFrom: checkpoint.replayFrom, createAtLsn: checkpoint.replayFrom }
  const opened = await deps.openJournal(place)
  const journal = new Journal(deps.openJournal, opened.log)
  const indexLog = await deps.openIndex({ scanFrom: 0, createAtLsn: 0 })
  const index = new RecoveryPointIndex(new Journal(deps.openIndex, indexLog.log), options.recoveryPointsMax)
  const pointsLostAt = indexLog.recovery.corruptAtLsn
  if (pointsLostAt !== null) {
    const fields = { event: 'recovery-points-lost', corruptAtLsn: pointsLostAt }
    deps.logger.error(fields, 'the recovery point index is damaged: points after the damage are not listed')
  }
  await index.load()
  const volume = new Volume({
    journal,
    index,
    slots,
    logger: deps.logger,
    isOurs: (diskId) => deps.targets.pathOf(diskId) !== null,
  })
  restore(volume, checkpoint, deps.clock)
  // What the page cache shows was not necessarily synced by the process before: now it is (D1).
  await opened.log.sync()
  const replayed = await replay(volume, checkpoint)
  const { tornBytes, corruptAtLsn } = opened.recovery
  const framesLost =
    corruptAtLsn !== null ||
    (newest !== null && journal.firstLsn > checkpoint.replayFrom) ||
    journal.appendedThrough < checkpoint.replayFrom
  if (framesLost) goBackInKafka(volume)
  deps.logger.info(
    { event: 'journal-replayed', frames: replayed, tornBytes, corruptAtLsn, framesLost },
    `replayed ${replayed} frames of the redo journal`,
  )
  const { growthFailure } = slots
  if (growthFailure !== null) {
    const fields = { event: 'checkpoint-not-grown', err: growthFailure, bytesMax: slots.recordBytesMax }
    deps.logger.warn(fields, 'the checkpoint keeps its smaller file: a larger one could not be made')
  }
  await volume.checkpointFound()
  return volume
}

function restore(volume: Volume, checkpoint: CheckpointBody, clock: Clock): void {
  volume.topicId = checkpoint.topicId
  for (const [kafkaPartition, kafkaOffset] of checkpoint.cursors)
    volume.cursors.set(kafkaPartition, kafkaOffset)
  for (const line of checkpoint.disks) {
    const disk = volume.disk(line.diskId)
    disk.descriptor = line.descriptor
    disk.owner = line.owner
    disk.applied = line.applied
    disk.received = line.applied
    disk.appliedKafkaOffset = line.appliedKafkaOffset
    disk.acceptedKafkaOffset = line.appliedKafkaOffset
    disk.writingThrough = line.writingThrough
    disk.torn = line.writingThrough !== null
    disk.resyncing = line.resyncing
    disk.appliedCapturedAtMs = line.appliedCapturedAtMs
    disk.openableAsOfMs = line.openableAsOfMs
    disk.cut = line.cut
    disk.identity = line.identity
    disk.kafkaPartition = line.kafkaPartition
    disk.base = line.base
    disk.source = line.source === null ? null : sourceViewOf(line.source, clock)
    restoreParked(disk.diskId, line, volume)
  }
}

/** A heartbeat is as old as it was, and by the time in which nobody listened. */
function sourceViewOf(source: RememberedSource, clock: Clock): SourceView {
  const sinceArrivalMs = Math.max(0, clock.wallMs() - source.arrivedAtMs)
  return { ...source, arrivedMonotonicMs: clock.monotonicMs() - sinceArrivalMs }
}

/** What was left in Kafka B is fetched again, whatever the reason was. */
function restoreParked(diskId: string, line: CheckpointDisk, volume: Volume): void {
  if (line.parkedFrom === null || line.kafkaPartition === null) return
  volume.disk(diskId).parked = {
    reason: 'reread',
    kafkaPartition: line.kafkaPartition,
    fromKafkaOffset: line.parkedFrom,
    sinceMs: 0,
    oldestCapturedAtMs: null,
    catchingUp: false,
  }
}

/** V1. Returns the number of frames that wait for the images again. */
async function replay(volume: Volume, checkpoint: CheckpointBody): Promise<number> {
  const replayFrom = new Map(checkpoint.disks.map((line) => [line.diskId, line.replayFrom]))
  const { journal } = volume
  const from = Math.min(Math.max(checkpoint.replayFrom, journal.firstLsn), journal.appendedThrough)
  await using reader = await journal.reader(from)
  let replayed = 0
  for (let frame = await reader.next(); frame !== null; frame = await reader.next()) {
    const { record, ...place } = decodeJournalFrame(frame.body)
    const any = decodeRecord(record)
    assert(any.kind === 'UpdateSet', 'the journal holds update sets')
    if (frame.lsn < (replayFrom.get(any.record.diskId) ?? 0)) continue
    if (replayOne(volume, frame, { set: any.record, ...place })) replayed += 1
  }
  for (const line of checkpoint.disks) {
    const disk = volume.disk(line.diskId)
    for (const stamp of line.stamps) disk.received = noteStamp(disk.received, stamp)
  }
  return replayed
}

function replayOne(
  volume: Volume,
  frame: Frame,
  found: Omit<JournalFrame, 'record'> & { readonly set: UpdateSet },
): boolean {
  const { set } = found
  const disk = volume.disk(set.diskId)
  const before = disk.received
  const verdict = judge(before, set, trusting(set))
  if (verdict.kind !== 'accept') return false
  const { transition } = verdict
  const after = accept(before, set)
  const frameBytes = frame.nextLsn - frame.lsn
  const appendedAtMs = found.receivedAtMs
  takeAccepted(volume, disk, {
    ...found,
    transition,
    before,
    after,
    lsn: frame.lsn,
    frameBytes,
    appendedAtMs,
  })
  return true
}

/** A frame is in the journal because its owner was checked then. */
function trusting(set: UpdateSet): JudgeContext {
  const { ownerSite, number, id } = set.generation
  return { descriptor: { ownerSite, generation: number, generationId: id }, ownerWaitExpired: true }
}

/** V2. */
function goBackInKafka(volume: Volume): void {
  for (const disk of volume.disks.values()) {
    if (disk.kafkaPartition === null) continue
    const resume = disk.acceptedKafkaOffset === null ? 0n : disk.acceptedKafkaOffset + 1n
    const cursor = volume.cursors.get(disk.kafkaPartition)
    if (cursor !== undefined && resume < cursor) volume.cursors.set(disk.kafkaPartition, resume)
    // A parked disk is read from its own place, not from the cursor.
    if (disk.parked !== null && resume < disk.parked.fromKafkaOffset) disk.parked.fromKafkaOffset = resume
  }
}
