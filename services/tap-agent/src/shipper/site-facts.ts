import type { ClockSkew, DiskDescriptor, Position, PositionReport } from '@blockferry/disk-stream'
import { assert } from '@blockferry/runtime'
import { isAtOrBelow } from '../spool/segment-index.ts'

/** How far two clocks drift apart at most, ms per ms: a skew sample gets that much worse with age. */
const clockDriftMax = 100e-6

/**
 * What `disks`, `site-b.disks` and `site-b.positions` say, folded by maximum (K5): a restarted MirrorMaker
 * re-sends old records after new ones.
 */
export class SiteFacts {
  readonly #partitions: number
  readonly #descriptors = new Map<string, DiskDescriptor>()
  readonly #generations = new Map<string, number>()
  readonly #received = new Map<string, Position>()
  #skew: { readonly sample: ClockSkew; readonly takenAtMs: number } | null = null

  constructor(partitions: number) {
    this.#partitions = partitions
  }

  get skew(): ClockSkew | null {
    return this.#skew?.sample ?? null
  }

  /** Highest generation number ever seen of a disk; 0 when none (S2). */
  generationSeenMax(diskId: string): number {
    return this.#generations.get(diskId) ?? 0
  }

  received(diskId: string): Position | null {
    return this.#received.get(diskId) ?? null
  }

  sawGeneration(diskId: string, number: number): void {
    this.#generations.set(diskId, Math.max(number, this.generationSeenMax(diskId)))
  }

  sawDescriptor(descriptor: DiskDescriptor): void {
    const { diskId, generation } = descriptor
    this.sawGeneration(diskId, generation)
    const known = this.#descriptors.get(diskId)
    if (known === undefined || known.generation <= generation) this.#descriptors.set(diskId, descriptor)
  }

  /** The newest received position when the report moved it, else null. */
  sawPosition(report: PositionReport): Position | null {
    const { diskId, received } = report
    if (received === null) return null
    this.sawGeneration(diskId, received.generation)
    const known = this.#received.get(diskId)
    if (known !== undefined && !isAtOrBelow(known, received)) return null
    this.#received.set(diskId, received)
    return received
  }

  /**
   * NTP's formula over the echoed heartbeat. The sample that says most now wins: a heartbeat that was held up for an hour
   * would halve the hour it measures. One that contradicts the other's bounds tells that a clock was set. True when it changed.
   */
  sawEcho(report: PositionReport, nowMs: number): boolean {
    const { echo } = report
    if (echo === null) return false
    const roundTripMs = nowMs - echo.sourceTimeMs - (report.reportedAtMs - echo.arrivedAtMs)
    if (roundTripMs < 0) return false
    const estimateMs = (echo.arrivedAtMs - echo.sourceTimeMs + (report.reportedAtMs - nowMs)) / 2
    const sample = { estimateMs, errorMs: roundTripMs / 2 }
    const best = this.#skew
    if (best !== null) {
      const boundMs = best.sample.errorMs + Math.abs(nowMs - best.takenAtMs) * clockDriftMax
      const clockWasSet = Math.abs(estimateMs - best.sample.estimateMs) > boundMs + sample.errorMs
      if (boundMs < sample.errorMs && !clockWasSet) return false
    }
    this.#skew = { sample, takenAtMs: nowMs }
    return true
  }

  /** The partition of a disk (K2): as its descriptor says, else as its agent remembers, else the least loaded. */
  partitionOf(diskId: string, remembered: number | null): number {
    const known = this.#descriptors.get(diskId)
    if (known !== undefined) return known.kafkaPartition
    if (remembered !== null) return remembered
    const load = Array.from({ length: this.#partitions }, () => 0)
    for (const { kafkaPartition } of this.#descriptors.values()) {
      load[kafkaPartition] = (load[kafkaPartition] ?? 0) + 1
    }
    const chosen = load.indexOf(Math.min(...load))
    assert(chosen >= 0, 'there is at least one partition')
    return chosen
  }
}
