import type { ApplierState } from '@blockferry/disk-stream'

/** A position as users see it. */
export interface SamplePosition {
  readonly generation: number
  readonly sequence: number
}

/** Age in ms of the oldest event that waits in each stage; 0 when none does. */
export interface SampleStages {
  readonly spooledMs: number
  readonly aggregatorMs: number
  readonly mirrorMs: number
  readonly receivedMs: number
  readonly appliedMs: number
}

/** One disk's lag at one instant (design §9); docs/lag-feed.md explains every field. */
export interface LagSample {
  readonly diskId: string
  readonly groupId: string | null
  readonly state: ApplierState
  readonly code: string | null
  readonly nextCommand: string | null
  readonly recoveryPointAgeMs: number | null
  readonly replicationDelayMs: {
    readonly p50: number | null
    readonly p99: number | null
    readonly windowS: number
  }
  readonly pendingWrites: number
  readonly pendingBytes: number
  readonly stages: SampleStages
  readonly known: SamplePosition | null
  readonly received: SamplePosition | null
  readonly applied: SamplePosition | null
  readonly consistentAsOf: string | null
  readonly clockSkewMs: { readonly estimate: number; readonly error: number } | null
  readonly sampledAt: string
  readonly etaMs: number | null
  readonly source: { readonly state: string; readonly seenAt: string } | null
  readonly groupState: ApplierState | null
  readonly progress: {
    readonly phase: string
    readonly doneBytes: number
    readonly totalBytes: number
    readonly etaMs: number | null
  } | null
}

/** The JSON Schema of the feed, as it is published in docs/lag-feed.md and docs/lag-feed.schema.json. */
export interface LagMessage {
  readonly type: 'snapshot' | 'update'
  readonly sampledAt: string
  readonly disks: readonly LagSample[]
}
