import { formatByteSize } from '@blockferry/runtime/service'
import type { LagSample } from './lag-sample.ts'
import { formatTable } from './table.ts'

const header = ['DISK', 'STATE', 'SOURCE', 'LAST GOOD', 'DELAY P50', 'P99', 'PENDING', 'NOTE']

/** Samples as a table for people; what must be done stands below it. */
export function lagTable(samples: readonly LagSample[]): string {
  if (samples.length === 0) return 'no disks yet\n'
  const advice = samples
    .filter(({ nextCommand }) => nextCommand !== null && nextCommand !== '')
    .map(({ diskId, code, nextCommand }) => `${diskId} ${code ?? ''}: ${nextCommand}\n`)
  return formatTable(header, samples.map(row)) + advice.join('')
}

function row(sample: LagSample): readonly string[] {
  const pending = `${sample.pendingWrites} (${formatByteSize(sample.pendingBytes)})`
  return [
    sample.diskId,
    sample.state,
    sample.source?.state ?? '–',
    duration(sample.recoveryPointAgeMs),
    duration(sample.replicationDelayMs.p50),
    duration(sample.replicationDelayMs.p99),
    pending,
    note(sample),
  ]
}

function note(sample: LagSample): string {
  if (sample.code !== null) return sample.code
  if (sample.progress !== null) {
    const { doneBytes, phase, totalBytes, etaMs } = sample.progress
    const percent = totalBytes === 0 ? 100 : Math.floor((doneBytes / totalBytes) * 100)
    return `${phase} ${percent} %${etaMs === null ? '' : `, ${duration(etaMs)} left`}`
  }
  return sample.etaMs === null ? '' : `drains in ${duration(sample.etaMs)}`
}

/** 412 → "412 ms", 75000 → "1 m 15 s". Null is unknown. */
export function duration(ms: number | null): string {
  if (ms === null) return '–'
  if (ms < 1000) return `${Math.round(ms)} ms`
  const seconds = ms / 1000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} m ${Math.floor(seconds % 60)} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} m`
}
