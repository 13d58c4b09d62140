import type { Disk } from '../disk/disk.ts'
import type { SampleStages } from './lag-sample.ts'
import { lateByMs, type SourceTimes } from './source-age.ts'

/**
 * Where the oldest waiting event of a disk waits, as far as the target can tell (design §9):
 *
 *   spooled      the heartbeat names the oldest event that Kafka A had not acknowledged
 *   aggregator   the heartbeat passed through `writes` behind events that have not come: they are in a window
 *   mirror       the newest heartbeat is late, or overdue: whatever was written since it was sent may be there
 *   received     arrived in Kafka B and left there (R1), or not yet in the journal
 *   applied      in the journal, not in the image
 */
export function stagesOf(disk: Disk, times: SourceTimes): SampleStages {
  const { frames, parked } = disk
  const left = parked?.oldestCapturedAtMs ?? null
  return {
    ...upstreamOf(disk, times),
    receivedMs: left === null ? 0 : age(left, times),
    appliedMs: frames.first === undefined ? 0 : age(frames.first.firstCapturedAtMs, times),
  }
}

function upstreamOf(
  disk: Disk,
  times: SourceTimes,
): Pick<SampleStages, 'spooledMs' | 'aggregatorMs' | 'mirrorMs'> {
  const none = { spooledMs: 0, aggregatorMs: 0, mirrorMs: 0 }
  const { source } = disk
  if (source === null) return none
  const mirrorMs = Math.round(lateByMs(source, times))
  if (mirrorMs > 0) return { ...none, mirrorMs }
  const { position, spooledEvents, oldestSpooledAtMs } = source.disk
  const received = disk.received.applied
  if (position === null || (received !== null && received.generation > position.generation)) return none
  const held = received?.generation === position.generation ? received.sequence : 0
  if (held >= position.sequence) return none
  const spooled = oldestSpooledAtMs !== null && spooledEvents > 0
  const shipped = position.sequence - spooledEvents
  // What was shipped before the heartbeat and did not come before it is still being folded, or is left in B.
  const folding = held < shipped && disk.parked === null
  return {
    spooledMs: spooled ? age(oldestSpooledAtMs, times) : 0,
    aggregatorMs: folding ? age(oldestUnreceivedMs(disk, source.sourceTimeMs), times) : 0,
    mirrorMs: 0,
  }
}

/** Captured time of the oldest event that has not come: after the newest that has. */
function oldestUnreceivedMs(disk: Disk, heartbeatMs: number): number {
  const newest = disk.frames.last?.lastCapturedAtMs ?? disk.appliedCapturedAtMs
  return newest === null ? heartbeatMs : newest
}

function age(momentMs: number, times: SourceTimes): number {
  return Math.max(0, Math.round(times.sourceNowMs - momentMs))
}
