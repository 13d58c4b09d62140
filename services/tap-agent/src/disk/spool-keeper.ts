/*
 * Keeps one disk's spool: durable in time, and no larger than it must be (T3, T6).
 *
 * Invariant K1: a segment goes only when the target has received all of it, or, when space is short for the disk or on
 * the host, when Kafka A acknowledged all of it, the oldest first; never while it holds an unfinished write, nor before
 * `evictedThrough` is durable.
 * Invariant K2: nothing goes that lies beyond the durable hint: there a restarted shipper reads on, and the target
 * may have received more than the hint says.
 * Invariant K3: a spool that cannot be read or synced is dropped whole, in AHEAD alone: everything is owed there.
 */
import type { Position } from '@blockferry/disk-stream'
import { MiB } from '@blockferry/runtime'
import type { Lsn, SegmentLog } from '@blockferry/segment-log'
import type { HostSpoolView, SpoolTenant } from '../spool/host-spool.ts'
import { type Deletion, isAtOrBelow, type SegmentIndex } from '../spool/segment-index.ts'
import type { ShipHint } from './control-record.ts'
import type { ControlStore } from './control-store.ts'
import { rethrowAssertion } from './disk-modes.ts'
import type { ShippedReport, SpoolLimits } from './disk-ports.ts'
import type { SpoolWriter } from './spool-writer.ts'

/** Most bytes that only the page cache holds (T3). */
export const unsyncedBytesMax = 64 * MiB
/**
 * Space is short above this share of the limit: of the acknowledged segments the oldest go before the target has them, as
 * many as bring the spool back to it.
 */
export const shortAboveShare = 0.5
/** Room for a new generation: at most this share of the limit is taken. */
export const roomBelowShare = 0.75

export interface SpoolKeeperDeps {
  readonly log: SegmentLog
  readonly control: ControlStore
  readonly index: SegmentIndex
  readonly limits: SpoolLimits
  readonly writer: () => SpoolWriter | null
  readonly host: HostSpoolView
  /** The spools of the host take all they may. */
  readonly onFull: () => void
  readonly onSyncFailed: (error: unknown) => void
  /** Something failed that is tried again and keeps nothing from going on. */
  readonly onTrouble: (error: unknown) => void
}

export class SpoolKeeper implements SpoolTenant {
  readonly #deps: SpoolKeeperDeps
  #shipped: ShipHint | null
  #received: Position | null = null
  #syncing = false
  #syncFailed = false
  #unreadableThroughLsn: Lsn = 0
  #tending = false
  #allocatedSeenBytes = 0

  constructor(deps: SpoolKeeperDeps) {
    this.#deps = deps
    this.#shipped = deps.control.current.shipped
  }

  get shipped(): ShipHint | null {
    return this.#shipped
  }

  get received(): Position | null {
    return this.#received
  }

  get allocatedBytes(): number {
    return this.#deps.log.allocatedBytes
  }

  get segmentBytes(): number {
    return this.#deps.limits.segmentBytes
  }

  get unacknowledgedBytes(): number {
    const { log } = this.#deps
    const acknowledgedLsn = Math.max(log.firstLsn, this.#shipped?.lsn ?? 0)
    return Math.max(0, log.appendedThrough - acknowledgedLsn)
  }

  evictableSinceMs(): readonly number[] {
    const { control, index } = this.#deps
    const shipped = control.current.shipped?.position ?? null
    return shipped === null ? [] : index.deletableSinceMs(this.#finished(shipped))
  }

  /** Share that Kafka has not acknowledged of the disk's limit, or of the host's when that is more. */
  pressure(): number {
    const { host, limits } = this.#deps
    return Math.max(this.unacknowledgedBytes / limits.spoolBytesMax, host.pressure)
  }

  /** True when a new generation has room to begin in, and a spool that takes it. */
  hasRoom(): boolean {
    const { host, log, limits } = this.#deps
    const isRoomy = log.allocatedBytes <= limits.spoolBytesMax * roomBelowShare
    return !this.isLost && isRoomy && host.hasRoom()
  }

  /** True when what the spool holds cannot be read, or not be made durable: it has to be dropped (K3). */
  get isLost(): boolean {
    return this.#syncFailed || this.#unreadableThroughLsn > this.#deps.log.firstLsn
  }

  /** The shipper could not read the spool, and left behind what lies below. */
  unreadable(throughLsn: Lsn): void {
    this.#unreadableThroughLsn = Math.max(this.#unreadableThroughLsn, throughLsn)
  }

  /** K3: only in AHEAD, with nothing appended meanwhile. `end` is where the stream in it ended. */
  async drop(end: Position | null): Promise<void> {
    const { control, index, log } = this.#deps
    await control.update({ evictedThrough: end ?? control.current.evictedThrough })
    await log.restart()
    index.forgetBefore(log.firstLsn)
    this.#syncFailed = false
  }

  /** Kafka A acknowledged everything through the position. */
  acknowledged(report: ShippedReport): void {
    this.#shipped = { position: report.position, lsn: report.lsn }
  }

  /** The target holds everything through the position; folded by maximum (K5). */
  receivedThrough(position: Position): void {
    if (this.#received === null || isAtOrBelow(this.#received, position)) this.#received = position
  }

  /** After an append: syncs early when much is unsynced, and sees whether the host's budget is used up. */
  appended(): void {
    const { host, log, onFull } = this.#deps
    const { allocatedBytes } = log
    if (allocatedBytes > this.#allocatedSeenBytes && host.isFull()) onFull()
    this.#allocatedSeenBytes = allocatedBytes
    if (log.appendedThrough - log.durableThrough >= unsyncedBytesMax) void this.#sync()
  }

  /** Once a second: sync, durable hints, retention. Never rejects but for a broken invariant. */
  async tend(): Promise<void> {
    if (this.#tending) return
    this.#tending = true
    try {
      await this.#sync()
      await this.#saveHints()
      await this.#deleteOld()
    } finally {
      this.#tending = false
    }
  }

  async #sync(): Promise<void> {
    const { log } = this.#deps
    if (this.#syncing || this.#syncFailed || log.durableThrough >= log.appendedThrough) return
    this.#syncing = true
    try {
      await log.sync()
    } catch (error) {
      this.#syncFailed = true
      this.#deps.onSyncFailed(error)
    } finally {
      this.#syncing = false
    }
  }

  async #saveHints(): Promise<void> {
    const { control, log } = this.#deps
    const { current } = control
    const durableThroughLsn = Math.max(log.durableThrough, current.durableThroughLsn)
    if (current.shipped === this.#shipped && current.durableThroughLsn === durableThroughLsn) return
    await this.#save({ shipped: this.#shipped, durableThroughLsn })
  }

  async #deleteOld(): Promise<void> {
    const { index, log } = this.#deps
    const deletion = this.#deletion()
    if (deletion === null || deletion.lsn <= log.firstLsn) return
    if (!(await this.#save({ evictedThrough: deletion.position }))) return
    try {
      await log.deleteBefore(deletion.lsn)
    } catch (error) {
      // The spool takes appends as before; if this lasts, its limit says what happens.
      rethrowAssertion(error)
      this.#deps.onTrouble(error)
    }
    index.forgetBefore(log.firstLsn)
  }

  /** K1, K2. */
  #deletion(): Deletion | null {
    const { control, host, index, limits, log } = this.#deps
    const shipped = control.current.shipped?.position ?? null
    if (shipped === null) return null
    const received = this.#receivedWithin(shipped)
    const owned = received === null ? null : index.deletableThrough(this.#finished(received))
    const excessBytes = log.allocatedBytes - limits.spoolBytesMax * shortAboveShare
    const countMax = Math.max(0, Math.ceil(excessBytes / limits.segmentBytes))
    const short = index.deletableThrough(this.#finished(shipped), {
      countMax,
      beganThroughMs: host.evictThroughMs,
    })
    return (short?.lsn ?? 0) > (owned?.lsn ?? 0) ? short : owned
  }

  #receivedWithin(shipped: Position): Position | null {
    const received = this.#received
    if (received === null) return null
    if (isAtOrBelow(received, shipped)) return received
    return isAtOrBelow(shipped, received) ? shipped : null
  }

  /** The position, or where the first write before it stands that is unfinished. */
  #finished(through: Position): Position {
    const writer = this.#deps.writer()
    if (writer === null || writer.generation.id !== through.generationId) return through
    return { ...through, sequence: Math.min(through.sequence, writer.lowestUnfinished() - 1) }
  }

  async #save(patch: Parameters<ControlStore['update']>[0]): Promise<boolean> {
    try {
      await this.#deps.control.update(patch)
      return true
    } catch (error) {
      this.#deps.onSyncFailed(error)
      return false
    }
  }
}
