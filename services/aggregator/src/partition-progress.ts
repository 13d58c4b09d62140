/** How a partition stands. RESUMING: looking for its place (K4). BLOCKED: its output cannot be produced. */
export const partitionStates = ['RESUMING', 'RUNNING', 'BLOCKED', 'HALTED'] as const
export type PartitionState = (typeof partitionStates)[number]

/** One assigned partition, as `GET /v1/partitions` and the metrics show it. */
export interface PartitionProgress {
  readonly kafkaPartition: number
  readonly state: PartitionState
  readonly code: string | null
  readonly nextCommand: string | null
  /** Next offset of the raw writes to be read; null while resuming. */
  readonly inputOffset: bigint | null
  /** Records of the raw writes not yet read; null before the first fetch. */
  readonly backlogRecords: number | null
  /** Age of the oldest of them; 0 when none. */
  readonly backlogAgeMs: number
  /** What the newest acknowledged output record says of the input (K4); null before the first. */
  readonly resumeInputOffset: bigint | null
  readonly disks: number
  readonly openWindows: number
  readonly windowBytes: number
  readonly queuedBytes: number
  /** Records passed over since this member has the partition. */
  readonly passedOver: number
}
