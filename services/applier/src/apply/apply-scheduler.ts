import type { Clock } from '@blockferry/runtime'
import type { Disk } from '../disk/disk.ts'
import type { ApplierOptions } from '../options.ts'
import type { Volume } from '../volume/volume.ts'
import type { ImageKeeper } from './image-keeper.ts'
import type { UnitApplier } from './unit-applier.ts'

/** How often units are looked through for something due. */
const scanMs = 100

interface UnitClock {
  /** Monotonic: no batch before. */
  notBeforeMs: number
  retryMs: number
}

/**
 * Runs batches (R2): each unit at most every `applyIntervalMs`, sooner when a full batch waits, a few units
 * at a time. A unit that fails is tried again ever more slowly; the others do not notice.
 */
export class ApplyScheduler {
  readonly #clock: Clock
  readonly #options: ApplierOptions
  readonly #volume: Volume
  readonly #applier: UnitApplier
  readonly #images: ImageKeeper
  readonly #units = new Map<string, UnitClock>()
  readonly #running = new Map<string, Promise<void>>()
  /** An assertion that failed in a batch: the process must end with it. */
  #broken: { readonly error: unknown } | null = null

  constructor(parts: {
    readonly clock: Clock
    readonly options: ApplierOptions
    readonly volume: Volume
    readonly applier: UnitApplier
    readonly images: ImageKeeper
  }) {
    this.#clock = parts.clock
    this.#options = parts.options
    this.#volume = parts.volume
    this.#applier = parts.applier
    this.#images = parts.images
  }

  /** Until the signal aborts; batches under way are finished. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#broken === null) {
      this.#startDue()
      await this.#clock.sleep(scanMs, signal)
    }
    await Promise.all(this.#running.values())
    const broken = this.#broken
    if (broken !== null) throw broken.error
  }

  #startDue(): void {
    const nowMs = this.#clock.monotonicMs()
    const seen = new Set<string>()
    for (const disk of this.#volume.disks.values()) {
      if (this.#running.size >= this.#options.applyUnitsMax) return
      const key = disk.groupId === null ? `disk/${disk.diskId}` : `group/${disk.groupId}`
      if (seen.has(key) || this.#running.has(key)) continue
      seen.add(key)
      const members = this.#volume.unitOf(disk)
      if (this.#isDue(key, members, nowMs)) this.#start(key, members)
    }
  }

  #isDue(key: string, members: readonly Disk[], nowMs: number): boolean {
    if (members.some((disk) => disk.applying || disk.copying)) return false
    const unit = this.#units.get(key)
    if (members.some((disk) => this.#images.wants(disk))) return true
    if (!members.some((disk) => disk.frames.length > 0)) return false
    const full = members.some((disk) => disk.frames.bytes >= this.#options.applyBytesMax)
    const halted = members.some(
      (disk) => disk.haltedBy('apply') !== null || disk.haltedBy('checkpoint') !== null,
    )
    if (full && !halted && unit?.retryMs === 0) return true
    return nowMs >= (unit?.notBeforeMs ?? 0)
  }

  #start(key: string, members: readonly Disk[]): void {
    for (const disk of members) disk.applying = true
    const run = this.#step(key, members)
      .catch((error: unknown) => {
        this.#broken ??= { error }
      })
      .finally(() => {
        for (const disk of members) disk.applying = false
        this.#running.delete(key)
      })
    this.#running.set(key, run)
  }

  async #step(key: string, members: readonly Disk[]): Promise<void> {
    const { applyIntervalMs, retryMsMin, retryMsMax } = this.#options
    const startedMs = this.#clock.monotonicMs()
    const { frames, bytes, failed } = await this.#applier.step(members)
    const tookMs = this.#clock.monotonicMs() - startedMs
    const before = this.#units.get(key)?.retryMs ?? 0
    const retryMs = failed ? Math.min(Math.max(before * 2, retryMsMin), retryMsMax) : 0
    // Nothing to do although frames wait (no complete cut): look again after the interval, not at once.
    const idleMs = frames === 0 ? Math.max(applyIntervalMs, retryMs) : applyIntervalMs
    const notBeforeMs = (frames === 0 ? startedMs + tookMs : startedMs) + idleMs
    this.#units.set(key, { notBeforeMs, retryMs: frames === 0 ? Math.max(retryMs, 1) : 0 })
    this.#count({ frames, bytes, tookMs })
    for (const disk of members) this.#volume.noteState(disk)
  }

  #count(step: { readonly frames: number; readonly bytes: number; readonly tookMs: number }): void {
    if (step.frames === 0) return
    const { stats } = this.#volume
    stats.batchesApplied += 1
    stats.framesApplied += step.frames
    stats.bytesApplied += step.bytes
    stats.applyMsTotal += step.tookMs
    stats.applyMsLast = step.tookMs
  }
}
