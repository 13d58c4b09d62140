import type { HeartbeatDisk, Position, TapState } from '@blockferry/disk-stream'
import type { ControlRecord } from './control-record.ts'
import { type DiskModes, notConvergingCount } from './disk-modes.ts'

/** What people and heartbeats see of a disk; spool figures against Kafka are the shipper's to add. */
export interface DiskStatus {
  readonly diskId: string
  readonly groupId: string | null
  readonly sizeBytes: number
  readonly state: TapState
  readonly code: string | null
  /** The last position wholly in the spool. */
  readonly position: Position | null
  readonly numberedThrough: number
  /** Data bytes of the running generation in the spool so far. */
  readonly rawBytes: number
  readonly consistentAsOfMs: number | null
  readonly shipped: Position | null
  readonly received: Position | null
  readonly spoolBytes: number
  readonly progress: HeartbeatDisk['progress']
}

/** What people see of a disk's mode (T7): SPOOLING is STREAMING with Kafka away, FAILED covers every mode. */
export function stateAndCodeOf(
  modes: DiskModes,
  kafkaCode: string | null,
): { readonly state: TapState; readonly code: string | null } {
  const { failure, record, refusedCode } = modes
  if (refusedCode !== null) return { state: 'FAILED', code: refusedCode }
  if (failure !== null) return { state: 'FAILED', code: failure.code }
  switch (record.mode) {
    case 'AHEAD':
      return { state: 'AHEAD', code: aheadCodeOf(record) }
    case 'RESYNCING':
      return { state: 'RESYNCING', code: kafkaCode }
    case 'STREAMING':
      return { state: kafkaCode === null ? 'STREAMING' : 'SPOOLING', code: kafkaCode }
  }
}

/** T7. Only a spool that is full speaks of the guest's rate: one that failed names its own repair. */
function aheadCodeOf({ aheadCode, aheadCount }: ControlRecord): string | null {
  const isFull = aheadCode === 'SPOOL_FULL'
  return isFull && aheadCount >= notConvergingCount ? 'NOT_CONVERGING' : aheadCode
}
