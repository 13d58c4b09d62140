import type { Lineage, UpdateSet } from '@blockferry/disk-stream'
import { endOf } from '@blockferry/disk-stream'
import type { Lsn } from '@blockferry/segment-log'
import type { Disk } from '../disk/disk.ts'
import type { Volume } from './volume.ts'

/** A set that the apply rule accepted, and where its record was in Kafka. */
export interface AcceptedSet {
  readonly set: UpdateSet
  readonly transition: 'none' | 'switch' | 'resync'
  /** The lineage it was judged against, and the one with it accepted. */
  readonly before: Lineage
  readonly after: Lineage
  readonly kafkaPartition: number
  readonly kafkaOffset: bigint
  /** When Kafka B appended the record, by its clock, ms. */
  readonly appendedAtMs: number
}

/** Events that a set adds to what a lineage has accepted. */
export function eventsAdded(before: Lineage, set: UpdateSet): number {
  const same = before.applied?.generationId === set.generation.id
  return set.lastSequence - (same ? (before.applied?.sequence ?? 0) : set.firstSequence - 1)
}

/**
 * Takes a set whose frame is durable in the journal into the disk's state: from here on it counts as
 * received (D1, D2). The one way in, for arriving sets and for replay.
 */
export function takeAccepted(
  volume: Volume,
  disk: Disk,
  accepted: AcceptedSet & { readonly lsn: Lsn; readonly frameBytes: number },
): void {
  const { set, transition, before, after, kafkaOffset, kafkaPartition } = accepted
  disk.received = after
  disk.acceptedKafkaOffset = kafkaOffset
  disk.kafkaPartition = kafkaPartition
  if (transition === 'resync' && set.generation.base.kind === 'full' && volume.topicId !== null) {
    disk.base = { generation: set.generation.number, topicId: volume.topicId, kafkaPartition, kafkaOffset }
  }
  disk.frames.push({
    lsn: accepted.lsn,
    bytes: accepted.frameBytes,
    end: endOf(set),
    lineage: after,
    transition,
    mark: set.mark,
    events: eventsAdded(before, set),
    firstCapturedAtMs: set.firstCapturedAtMs,
    lastCapturedAtMs: set.lastCapturedAtMs,
    kafkaOffset,
  })
  if (transition !== 'none') volume.cuts.enterGeneration(disk, set.firstCapturedAtMs)
  if (set.mark?.kind === 'recoveryPoint') {
    volume.cuts.observe(disk.diskId, { cut: set.mark, position: endOf(set) })
  }
}
