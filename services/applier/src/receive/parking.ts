import type { Clock } from '@blockferry/runtime'
import type { FetchOutcome } from '@blockferry/replication-log'
import type { Disk, Parked } from '../disk/disk.ts'
import type { ApplierOptions } from '../options.ts'
import type { ApplierLogger } from '../ports.ts'
import type { Volume } from '../volume/volume.ts'
import type { SetAdmission } from './set-admission.ts'

/** A parked disk at its share comes back once so much of the share is free again. */
const shareResume = 0.5
/** How often a record that no known schema reads is tried again: an upgrade of this service heals it. */
const undecodableRetryMs = 10_000

/*
 * Disks whose records are left in Kafka B for now (R1): their neighbours of the same partition go on.
 *
 *   reading ──cannot take the next set──► parked ──reason gone──► catching up ──reached the cursor──► reading
 *                                            ▲                        │
 *                                            └───cannot take it again─┘
 */
export class Parking {
  readonly #clock: Clock
  readonly #options: ApplierOptions
  readonly #volume: Volume
  readonly #admission: SetAdmission
  readonly #logger: ApplierLogger

  constructor(parts: {
    readonly clock: Clock
    readonly options: ApplierOptions
    readonly volume: Volume
    readonly admission: SetAdmission
    readonly logger: ApplierLogger
  }) {
    this.#clock = parts.clock
    this.#options = parts.options
    this.#volume = parts.volume
    this.#admission = parts.admission
    this.#logger = parts.logger
  }

  /** Where catch-ups read on, by partition: the lowest place of its disks. */
  positions(): ReadonlyMap<number, bigint> {
    const positions = new Map<number, bigint>()
    for (const disk of this.#volume.disks.values()) {
      const { parked } = disk
      if (parked === null || disk.copying) continue
      if (!parked.catchingUp && this.#mayResume(disk, parked)) parked.catchingUp = true
      if (!parked.catchingUp) continue
      const lowest = positions.get(parked.kafkaPartition)
      if (lowest === undefined || parked.fromKafkaOffset < lowest) {
        positions.set(parked.kafkaPartition, parked.fromKafkaOffset)
      }
    }
    return positions
  }

  /**
   * A catch-up has read a partition through `next`. Returns the disks that have reached the main cursor and
   * are read with the others again.
   */
  advance(kafkaPartition: number, next: bigint): readonly Disk[] {
    const cursor = this.#volume.cursors.get(kafkaPartition) ?? 0n
    const joined: Disk[] = []
    for (const disk of this.#volume.disks.values()) {
      const { parked } = disk
      if (parked?.kafkaPartition !== kafkaPartition || !parked.catchingUp) continue
      if (parked.fromKafkaOffset < next) parked.fromKafkaOffset = next
      if (parked.fromKafkaOffset < cursor) continue
      disk.parked = null
      joined.push(disk)
    }
    return joined
  }

  /**
   * Retention took what was left in Kafka B: the disks go on at what there is, where a hole shows as a GAP.
   * Beyond the end the main cursor is, too, and searches the partition from its start.
   */
  outOfRange({ kafkaPartition, earliest }: Extract<FetchOutcome, { kind: 'outOfRange' }>): void {
    for (const { diskId, parked } of this.#volume.disks.values()) {
      if (parked?.kafkaPartition !== kafkaPartition || parked.fromKafkaOffset >= earliest) continue
      const { fromKafkaOffset, reason } = parked
      const fields = { diskId, kafkaPartition, from: String(fromKafkaOffset), earliest: String(earliest) }
      this.#logger.warn(
        { event: 'left-records-gone', ...fields },
        `what ${diskId} had left in Kafka B (${reason}) is gone; it goes on at offset ${earliest}`,
      )
      parked.fromKafkaOffset = earliest
    }
  }

  #mayResume(disk: Disk, parked: Parked): boolean {
    const { frames } = disk
    switch (parked.reason) {
      case 'share':
        return (
          frames.bytes <= this.#admission.shareOf() * shareResume &&
          frames.length <= this.#options.journalDiskFramesMax * shareResume
        )
      case 'descriptor':
        return disk.descriptor !== null
      case 'owner':
        return this.#admission.ownerWaitExpired(disk) || this.#ownerChangedSince(disk, parked)
      case 'undecodable':
        return this.#clock.monotonicMs() - parked.sinceMs >= undecodableRetryMs
      case 'reread':
        return true
      case 'copying':
        return false
    }
  }

  #ownerChangedSince(disk: Disk, parked: Parked): boolean {
    return disk.ownerChangedMs !== null && disk.ownerChangedMs >= parked.sinceMs
  }
}
