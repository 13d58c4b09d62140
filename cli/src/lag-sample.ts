/** A lag sample of one disk, as the applier serves it (docs/lag-feed.md). */
export interface LagSample {
  readonly diskId: string
  readonly groupId: string | null
  readonly state: string
  readonly code: string | null
  readonly nextCommand: string | null
  readonly recoveryPointAgeMs: number | null
  readonly replicationDelayMs: { readonly p50: number | null; readonly p99: number | null }
  readonly pendingWrites: number
  readonly pendingBytes: number
  readonly etaMs: number | null
  readonly source: { readonly state: string } | null
  readonly progress: {
    readonly phase: string
    readonly doneBytes: number
    readonly totalBytes: number
    readonly etaMs: number | null
  } | null
}

/** Disks in trouble: what exit status 3 is about. Of a SILENT or LATE source nobody knows what it is now. */
export function isUnhealthy(sample: Pick<LagSample, 'state' | 'source'>): boolean {
  const source = sample.source?.state
  return sample.state === 'HALTED' || source === 'FAILED' || source === 'SILENT' || source === 'LATE'
}
