import type { ReplicationLog, TopicPartition } from '@blockferry/replication-log'
import { codeOf, MiB } from '@blockferry/runtime'
import { decodeRecord } from '@blockferry/schemas'

/*
 * Where a partition's input is taken up again (K4).
 *
 * Invariant RP1: everything below the returned offset is in records that stand in the output. Each record of
 * the output says so of itself (`resumeInputOffset`), whoever wrote it; so any readable one near the tail
 * will do, and when none is found the input is read from its beginning: too early costs duplicates (S9).
 */

/** How far back from the tail a readable record is looked for. */
export const tailRecordsMax = 64
const tailBytesMax = 8 * MiB
const tailWaitMsMax = 1_000

export interface ResumePoint {
  readonly kafkaOffset: bigint
  /** truncated: input before it was deleted unread. replaced: the input ends before where the output stood. */
  readonly found: 'tail' | 'start' | 'truncated' | 'replaced'
}

/** Finds the place. Throws the log's own faults. */
export async function findResumePoint(
  log: ReplicationLog,
  partitions: { readonly input: TopicPartition; readonly output: TopicPartition },
  signal: AbortSignal,
): Promise<ResumePoint> {
  const stamped = await readStampAtTail(log, partitions.output, signal)
  const { earliest, latest } = await log.offsets(partitions.input)
  if (stamped === null) return { kafkaOffset: earliest, found: 'start' }
  return clampToInput(stamped, { earliest, latest })
}

/** K4: clamped to what the input holds. Beyond its end nothing is known of it: from the beginning. */
export function clampToInput(
  kafkaOffset: bigint,
  input: { readonly earliest: bigint; readonly latest: bigint },
): ResumePoint {
  if (kafkaOffset < input.earliest) return { kafkaOffset: input.earliest, found: 'truncated' }
  if (kafkaOffset > input.latest) return { kafkaOffset: input.earliest, found: 'replaced' }
  return { kafkaOffset, found: 'tail' }
}

async function readStampAtTail(
  log: ReplicationLog,
  output: TopicPartition,
  signal: AbortSignal,
): Promise<bigint | null> {
  const { earliest, latest } = await log.offsets(output)
  for (let back = 1n; back <= tailRecordsMax; back *= 2n) {
    const from = latest - back > earliest ? latest - back : earliest
    if (from >= latest) return null
    const stamp = await lastStampFrom(log, { ...output, kafkaOffset: from }, signal)
    if (stamp !== null || from === earliest) return stamp
  }
  return null
}

async function lastStampFrom(
  log: ReplicationLog,
  position: TopicPartition & { readonly kafkaOffset: bigint },
  signal: AbortSignal,
): Promise<bigint | null> {
  const [outcome] = await log.fetch(
    {
      positions: [position],
      waitMsMax: tailWaitMsMax,
      partitionBytesMax: tailBytesMax,
      bytesMax: tailBytesMax,
    },
    signal,
  )
  if (outcome?.kind === 'failed') {
    // RP1: an older record serves as well as one that is damaged where it is stored.
    if (codeOf(outcome.cause) === 'RECORD_BATCH_CORRUPT') return null
    throw outcome.cause
  }
  if (outcome?.kind !== 'records') return null
  for (const record of outcome.records.toReversed()) {
    const stamp = stampOf(record.value)
    if (stamp !== null) return stamp
  }
  return null
}

/** Null where a record cannot be read: an older one serves as well (RP1). */
function stampOf(value: Buffer): bigint | null {
  try {
    const any = decodeRecord(value)
    const stamped = any.kind === 'UpdateSet' || any.kind === 'Heartbeat'
    return stamped ? any.record.resumeInputOffset : null
  } catch {
    return null
  }
}
