import { auditHistory, type ServiceReader } from '@blockferry/cli'
import { connectReplicationLog } from '@blockferry/replication-log'
import { expect } from 'vitest'

/** Nothing resynced (one generation), no recovery point of the stream missing in the target's index. */
export async function expectWholeHistory(
  lab: ServiceReader,
  options: { readonly kafkaA: string; readonly diskIds: readonly string[] },
): Promise<void> {
  await using log = await connectReplicationLog({ brokers: [options.kafkaA], clientId: 'blockferry-test' })
  for (const diskId of options.diskIds) {
    const audit = await auditHistory(lab, { log, diskId })
    expect(audit.generations, `generations of ${diskId}`).toEqual([1])
    expect(audit.missingCuts, `recovery points of ${diskId} missing at the target`).toEqual([])
    expect(audit.cuts.length).toBeGreaterThan(0)
  }
}
