import type { RecoveryPointEvent } from '@blockferry/disk-stream'
import type { ReplicationLog } from '@blockferry/replication-log'
import type { ServiceReader } from '../lab-client/service-reader.ts'
import { waitForDrained } from './drained.ts'
import { readCutIds } from './read-cut-ids.ts'
import { auditWrites, type StreamAudit } from './stream-audit.ts'

/** What the source numbered of a disk, against what the target can open. */
export interface HistoryAudit extends StreamAudit {
  readonly indexedCuts: number
  /** Cuts of the stream that are not in the target's index. */
  readonly missingCuts: readonly RecoveryPointEvent[]
}

/**
 * Reads the topic `writes` of `log`, then waits until the target holds all of it, then reads its index. In this order:
 * the last writes are cut up to a cut interval after they were made, so a lab that was drained may have one more cut under way.
 */
export async function auditHistory(
  lab: ServiceReader,
  options: { readonly log: ReplicationLog; readonly diskId: string },
): Promise<HistoryAudit> {
  const audit = await auditWrites(options.log, options.diskId)
  await waitForDrained(lab)
  const indexed = await readCutIds(lab, options.diskId)
  const missingCuts = audit.cuts.filter(({ cutId }) => !indexed.has(cutId))
  return { ...audit, indexedCuts: indexed.size, missingCuts }
}
