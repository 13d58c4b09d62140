import { connectReplicationLog } from '@blockferry/replication-log'
import type { LabClient } from '../lab-client/lab-client.ts'
import { compareImages } from '../verification/compare-images.ts'
import { readCounter } from '../verification/read-counter.ts'
import { auditHistory, type HistoryAudit } from '../verification/audit-history.ts'
import type { Narrator } from './narrator.ts'
import { megabytes, type StoryResult } from './story.ts'

/** Compares the two disks and the two histories, and prints what this run measured. */
export async function reachVerdict(lab: LabClient, narrator: Narrator, result: StoryResult): Promise<void> {
  const disk = lab.ready.disks.find((candidate) => candidate.id === 'vda')
  if (disk === undefined) throw new Error('the lab offers no disk vda')
  narrator.step('Source and target are compared, region by region')
  await compareDisks(disk, narrator)
  narrator.step('The history is compared: what the source numbered against what the target can open')
  const audit = await compareHistories(lab, narrator)
  narrator.step('Figures of this run')
  narrator.table(await figures({ lab, result, audit }))
}

async function compareDisks(
  disk: { readonly source: string; readonly target: string },
  narrator: Narrator,
): Promise<void> {
  const images = await compareImages(disk)
  const equal = images.differing.length === 0 && images.sourceSizeBytes === images.targetSizeBytes
  const detail = equal
    ? `${images.regions} regions, SHA-256 ${images.sourceSha256.slice(0, 16)}… on both sides`
    : `${images.differing.length} of ${images.regions} regions differ, the first at byte ${images.differing[0]}`
  narrator.check('the target equals the source, byte for byte', equal, detail)
  const ratio = images.targetAllocatedBytes / images.sourceAllocatedBytes
  const sizes = `${megabytes(images.sourceAllocatedBytes)} at the source, ${megabytes(images.targetAllocatedBytes)} at the target`
  narrator.check('thin stayed thin (allocated sizes within 5 %)', Math.abs(ratio - 1) <= 0.05, sizes)
}

async function compareHistories(lab: LabClient, narrator: Narrator): Promise<HistoryAudit> {
  const kafka = lab.ready.sites['site-a']?.kafka ?? ''
  await using log = await connectReplicationLog({ brokers: [kafka], clientId: 'blockferry-demo' })
  const audit = await auditHistory(lab, { log, diskId: 'vda' })
  const cuts = `${audit.cuts.length} cut at the source, ${audit.indexedCuts} in the index at the target`
  const isWhole = audit.missingCuts.length === 0 && audit.cuts.length > 0
  narrator.check('no recovery point is missing', isWhole, cuts)
  const generations = audit.generations.join(', ')
  narrator.check(
    'nothing was resynced',
    audit.generations.length === 1,
    `generations in the stream: ${generations}`,
  )
  return audit
}

async function figures(facts: {
  lab: LabClient
  result: StoryResult
  audit: HistoryAudit
}): Promise<Readonly<Record<string, string>>> {
  const { result, audit } = facts
  const aggregator = facts.lab.url('aggregator')
  const bytesIn = await readCounter(aggregator, 'blockferry_aggregator_read_bytes_total')
  const bytesOut = await readCounter(aggregator, 'blockferry_aggregator_packed_bytes_total')
  const reduction = `${megabytes(bytesIn)} of write data became ${megabytes(bytesOut)} on the WAN (${(100 * (1 - bytesOut / bytesIn)).toFixed(0)} % less)`
  return {
    'guest writes': `${result.writer.writes} (${megabytes(result.writer.bytes)}), p50 ${result.writer.latencyMs(0.5).toFixed(2)} ms, p99 ${result.writer.latencyMs(0.99).toFixed(2)} ms`,
    'events in the stream': `${audit.writes} writes and zeroes (${megabytes(audit.writtenBytes)}), ${audit.cuts.length} recovery points`,
    'groups sent again after kills': String(audit.repeatedGroups),
    'folding and zstd': reduction,
    // The lag feed's window is a minute: it still holds the initial sync, whose first groups wait for the mirror to come up.
    'delay, minute before cut': `p50 ${result.delayMs.p50} ms, p99 ${result.delayMs.p99} ms, initial sync included`,
    'time to drain': `${result.drainMs} ms after the last write`,
  }
}
