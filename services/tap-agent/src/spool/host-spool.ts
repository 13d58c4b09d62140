/*
 * The budget that the spools of one agent share (T3): a share of the volume they lie on.
 *
 * Invariant H1: when the spools take more than half of the budget, segments go that Kafka A acknowledged, the
 * oldest over all disks first, and only as many as bring them back to that.
 * Invariant H2: the budget shrinks with what others leave free on the volume, so that spools meet their own limit,
 * which has a code and a way back, before they meet the volume's.
 */
import { MiB } from '@blockferry/runtime'

/** Of the volume, for all spools together (T3). */
export const spoolVolumeShareDefault = 0.5
/** Left free on the volume for control slots, logs and neighbours. */
export const volumeKeepFreeBytes = 512 * MiB
/** … but of a small volume at most this share. */
export const volumeKeepFreeShareMax = 0.05
/** Space is short above this share of the budget (H1). */
export const hostShortAboveShare = 0.5
/** Room for a new generation: at most this share of the budget is taken. */
export const hostRoomBelowShare = 0.75

/** The volume that holds the state directory. */
export interface VolumeSpace {
  readonly sizeBytes: number
  /** What a process without privileges may still take. */
  readonly freeBytes: number
}

/** One disk's spool, as the budget sees it. */
export interface SpoolTenant {
  readonly allocatedBytes: number
  readonly segmentBytes: number
  /** Bytes that Kafka A has not acknowledged. */
  readonly unacknowledgedBytes: number
  /** When each segment was begun that may go because Kafka A acknowledged it, oldest first. */
  evictableSinceMs(): readonly number[]
}

/** What one disk asks of the budget; without one, only its own limit counts. */
export interface HostSpoolView {
  /** Acknowledged segments that were begun by then go now (H1). */
  readonly evictThroughMs: number
  /** Share of the budget that Kafka A has not acknowledged, over all disks. */
  readonly pressure: number
  isFull(): boolean
  hasRoom(): boolean
}

export const unlimitedHostSpool: HostSpoolView = {
  evictThroughMs: -Infinity,
  pressure: 0,
  isFull: () => false,
  hasRoom: () => true,
}

export interface HostSpoolDeps {
  readonly volume: () => Promise<VolumeSpace>
  /** Share of the volume that all spools together may take, 0 to 1. */
  readonly share: number
  readonly tenants: () => Iterable<SpoolTenant>
  readonly onTrouble: (error: unknown) => void
}

export class HostSpool implements HostSpoolView {
  readonly #deps: HostSpoolDeps
  #bytesMax = Infinity
  #evictThroughMs = -Infinity
  #pressure = 0
  #reading = false

  constructor(deps: HostSpoolDeps) {
    this.#deps = deps
  }

  /** Infinity until the volume was looked at. */
  get bytesMax(): number {
    return this.#bytesMax
  }

  get usedBytes(): number {
    let bytes = 0
    for (const { allocatedBytes } of this.#deps.tenants()) bytes += allocatedBytes
    return bytes
  }

  get evictThroughMs(): number {
    return this.#evictThroughMs
  }

  get pressure(): number {
    return this.#pressure
  }

  isFull(): boolean {
    return this.usedBytes >= this.#bytesMax
  }

  hasRoom(): boolean {
    return this.usedBytes <= this.#bytesMax * hostRoomBelowShare
  }

  /** Once a second: looks at the volume, and says what goes. A look that takes long is not waited for by the next. */
  async tend(): Promise<void> {
    this.#plan()
    if (this.#reading) return
    this.#reading = true
    try {
      this.#fit(await this.#deps.volume())
    } catch (error) {
      // The last figure stands.
      this.#deps.onTrouble(error)
    } finally {
      this.#reading = false
    }
    this.#plan()
  }

  /** H2. */
  #fit({ freeBytes, sizeBytes }: VolumeSpace): void {
    const keepFreeBytes = Math.min(volumeKeepFreeBytes, sizeBytes * volumeKeepFreeShareMax)
    const reachable = Math.max(0, this.usedBytes + freeBytes - keepFreeBytes)
    this.#bytesMax = Math.min(sizeBytes * this.#deps.share, reachable)
  }

  /** H1. */
  #plan(): void {
    const tenants = [...this.#deps.tenants()]
    let unacknowledgedBytes = 0
    for (const tenant of tenants) unacknowledgedBytes += tenant.unacknowledgedBytes
    this.#pressure = unacknowledgedBytes / Math.max(1, this.#bytesMax)
    this.#evictThroughMs = this.#evictThrough(tenants)
  }

  #evictThrough(tenants: readonly SpoolTenant[]): number {
    let excessBytes = this.usedBytes - this.#bytesMax * hostShortAboveShare
    if (!(excessBytes > 0)) return -Infinity
    const segments = tenants.flatMap((tenant) =>
      tenant.evictableSinceMs().map((sinceMs) => ({ sinceMs, bytes: tenant.segmentBytes })),
    )
    let throughMs = -Infinity
    for (const { bytes, sinceMs } of segments.toSorted((a, b) => a.sinceMs - b.sinceMs)) {
      if (excessBytes <= 0) break
      excessBytes -= bytes
      throughMs = sinceMs
    }
    return throughMs
  }
}
