import type { Clock } from '@blockferry/runtime'
import type { Disk, Parked } from '../disk/disk.ts'
import type { ApplierOptions } from '../options.ts'
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

  constructor(parts: {
    readonly clock: Clock
    readonly options: ApplierOptions
    readonly volume: Volume
    readonly admission: SetAdmission
  }) {
    this.#clock = parts.clock
    this.#options = parts.options
    this.#volume = parts.volume
    this.#admission = parts.admission
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
