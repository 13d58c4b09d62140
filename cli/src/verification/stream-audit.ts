import type { RecoveryPointEvent } from '@blockferry/disk-stream'
import { MiB } from '@blockferry/runtime'
import type { ReplicationLog } from '@blockferry/replication-log'
import { decodeRecord } from '@blockferry/schemas'

/** What a topic of a site holds of one disk, read from its first record to its last. */
export interface StreamAudit {
  /** Every cut numbered in the stream, in order of first appearance. */
  readonly cuts: readonly RecoveryPointEvent[]
  /** Numbers of the generations seen, ascending. */
  readonly generations: readonly number[]
  /** Write and zero events, each counted once however often its group was sent. */
  readonly writes: number
  readonly writtenBytes: number
  /** Groups that came again (an earlier sequence than one seen before). */
  readonly repeatedGroups: number
}

interface Tally {
  cuts: Map<string, RecoveryPointEvent>
  generations: Set<number>
  writes: number
  writtenBytes: number
  repeatedGroups: number
  lastSequence: Map<number, number>
}

/** Reads all partitions of topic `writes` and says what the tap put there about the disk. Throws the log's faults. */
export async function auditWrites(log: ReplicationLog, diskId: string): Promise<StreamAudit> {
  const description = await log.describeTopic('writes')
  const tally: Tally = {
    cuts: new Map(),
    generations: new Set(),
    writes: 0,
    writtenBytes: 0,
    repeatedGroups: 0,
    lastSequence: new Map(),
  }
  for (let kafkaPartition = 0; kafkaPartition < (description?.partitions ?? 0); kafkaPartition += 1) {
    await auditPartition(log, { kafkaPartition, diskId, tally })
  }
  return {
    cuts: [...tally.cuts.values()],
    generations: [...tally.generations].toSorted((a, b) => a - b),
    writes: tally.writes,
    writtenBytes: tally.writtenBytes,
    repeatedGroups: tally.repeatedGroups,
  }
}

async function auditPartition(
  log: ReplicationLog,
  scope: { kafkaPartition: number; diskId: string; tally: Tally },
): Promise<void> {
  const partition = { topic: 'writes', kafkaPartition: scope.kafkaPartition }
  const { earliest, latest } = await log.offsets(partition)
  let kafkaOffset = earliest
  while (kafkaOffset < latest) {
    const request = {
      positions: [{ ...partition, kafkaOffset }],
      waitMsMax: 500,
      partitionBytesMax: 8 * MiB,
      bytesMax: 8 * MiB,
    }
    const [outcome] = await log.fetch(request)
    if (outcome === undefined || outcome.kind === 'outOfRange')
      throw new Error(`partition ${scope.kafkaPartition} of writes was cut while it was read`)
    if (outcome.kind === 'failed')
      throw new Error(`partition ${scope.kafkaPartition} of writes: ${outcome.code}`, {
        cause: outcome.cause,
      })
    for (const record of outcome.records) tallyRecord(record.value, scope)
    kafkaOffset = outcome.nextKafkaOffset
  }
}

function tallyRecord(value: Buffer, scope: { diskId: string; tally: Tally }): void {
  const { tally } = scope
  const decoded = decodeRecord(value)
  if (decoded.kind !== 'WriteGroup' || decoded.record.diskId !== scope.diskId) return
  const group = decoded.record
  tally.generations.add(group.generation.number)
  const last = tally.lastSequence.get(group.generation.number) ?? 0
  if (group.firstSequence <= last) tally.repeatedGroups += 1
  for (const [index, event] of group.events.entries()) {
    if (group.firstSequence + index <= last) continue
    if (event.kind === 'recoveryPoint') tally.cuts.set(event.cutId, event)
    if (event.kind !== 'write' && event.kind !== 'zero') continue
    tally.writes += 1
    tally.writtenBytes += event.byteLength
  }
  tally.lastSequence.set(
    group.generation.number,
    Math.max(last, group.firstSequence + group.events.length - 1),
  )
}
