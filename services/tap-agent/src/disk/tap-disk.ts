/*
 * One disk of the agent: opens its storage, spool and control slots, recovers (S5, T5), serves its guest.
 */
import { type Position, RangeLock, type RecoveryPointEvent } from '@blockferry/disk-stream'
import type { BlockDevice } from '@blockferry/storage'
import { appendEvents } from './append-events.ts'
import { createAppendLatency } from './append-latency.ts'
import type { ControlRecord } from './control-record.ts'
import { DiskModes, rethrowAssertion } from './disk-modes.ts'
import type { ResyncRequest, ShippedReport, TapDiskDeps, TapDiskOptions } from './disk-ports.ts'
import { type DiskStatus, stateAndCodeOf } from './disk-state.ts'
import { GuestPath } from './guest-path.ts'
import { clampedHints, closeAll, examine, lostRecord, type Opened, openParts, positionOf } from './opening.ts'
import { readBackExtent } from './read-back.ts'
import type { SpoolScan } from './recovery.ts'
import { SpoolKeeper } from './spool-keeper.ts'
import { SpoolRepair } from './spool-repair.ts'
import { emptyAppendedState, type AppendedFrame, type SpoolWriter } from './spool-writer.ts'
import { fault } from '../error-catalogue.ts'
import { type SpoolTenant, unlimitedHostSpool } from '../spool/host-spool.ts'
import { SegmentIndex } from '../spool/segment-index.ts'

export class TapDisk {
  readonly options: TapDiskOptions
  readonly path: GuestPath
  readonly #deps: TapDiskDeps
  readonly #opened: Opened
  readonly #modes: DiskModes
  readonly #keeper: SpoolKeeper
  readonly #repair: SpoolRepair
  readonly #index: SegmentIndex
  readonly #latency = createAppendLatency()
  readonly #lock = new RangeLock()
  #kafkaCode: string | null = 'KAFKA_UNREACHABLE'
  /** The newest cut, and the writer that numbered it: a new generation counts from 1 again. */
  #lastCut: { readonly cutId: string; readonly sequence: number; readonly writer: SpoolWriter } | null = null
  #resyncWanted = false

  private constructor(
    deps: TapDiskDeps,
    options: TapDiskOptions,
    parts: { opened: Opened; index: SegmentIndex },
  ) {
    this.options = options
    this.#deps = deps
    this.#opened = parts.opened
    this.#index = parts.index
    const { control, device, log } = parts.opened
    this.#modes = new DiskModes(
      {
        disk: deps,
        options,
        control,
        log,
        lock: this.#lock,
        onFrames: (frames) => this.#appended(frames),
        onAppendDone: (append) => {
          this.#latency.add(append)
          deps.observer?.appended?.(append.durationMs, append.byteLength)
        },
        pressure: () => this.#keeper.pressure(),
      },
      device,
    )
    const onTrouble = (error: unknown): void => deps.observer?.trouble?.(options.diskId, error)
    this.#keeper = new SpoolKeeper({
      log,
      control,
      index: this.#index,
      limits: options,
      writer: () => this.#modes.writer,
      host: deps.hostSpool ?? unlimitedHostSpool,
      onFull: () => void this.#modes.goAhead('SPOOL_FULL'),
      onSyncFailed: (error) => this.#spoolTrouble(error),
      onTrouble,
    })
    this.#repair = new SpoolRepair({
      clock: deps.clock,
      modes: this.#modes,
      keeper: this.#keeper,
      onTrouble,
    })
    this.path = new GuestPath({ device, lock: this.#lock, owner: this.#modes })
    this.#modes.usePath(this.path)
  }

  /**
   * Opens a disk and serves it from the moment this resolves. In-doubt extents have been read back (S5).
   * @throws what opening its storage, spool or slots throws: the disk is not served, the caller retries
   */
  static async open(deps: TapDiskDeps, options: TapDiskOptions): Promise<TapDisk> {
    const opened = await openParts(deps)
    try {
      const { scan, lostCode } = await examine(opened, { deps, options })
      const index = scan?.index ?? new SegmentIndex(options.segmentBytes)
      const disk = new TapDisk(deps, options, { opened, index })
      await disk.#recover(scan, lostCode)
      return disk
    } catch (error) {
      // What stays open keeps the source's lock, and the next try finds it held by this very process.
      await closeAll([opened.log, opened.control, opened.device])
      throw error
    }
  }

  get sizeBytes(): number {
    return this.#modes.device.sizeBytes
  }

  /** Its spool, as the host's budget sees it. */
  get spool(): SpoolTenant {
    return this.#keeper
  }

  get device(): BlockDevice {
    return this.#modes.device
  }

  async #recover(scan: SpoolScan | null, lostCode: string | null): Promise<void> {
    const { control, source } = this.#opened
    const { bootId } = this.#deps
    const before = control.current
    const wasClean = before.cleanShutdown
    const { generation } = before
    if (before.mode === 'AHEAD' || lostCode !== null || generation === null) {
      const aheadCode = lostCode ?? before.aheadCode
      const ahead = { mode: 'AHEAD', aheadCode, bootId, source, cleanShutdown: false } as const
      const lost = lostCode === null ? {} : lostRecord(control, scan)
      const evicted = this.#isStuck() ? { evictedThrough: positionOf(scan) } : {}
      await this.#record({ ...ahead, ...lost, ...evicted, ...clampedHints(this.#opened) })
      if (this.#isStuck()) await this.#dropSpool()
      this.#attach()
      this.#modes.serveAhead()
      return
    }
    await this.#record({ bootId, source, cleanShutdown: false })
    const ownEnd = scan?.last?.generation.id === generation.id ? scan.last : null
    const writer = this.#modes.newWriter(generation, ownEnd?.state ?? emptyAppendedState(generation))
    const { cutId = null, state } = ownEnd ?? {}
    if (cutId !== null && state !== undefined) {
      this.#lastCut = { cutId, sequence: state.point.sequence, writer }
    }
    this.#attach()
    if (!wasClean && ownEnd !== null && scan !== null) await this.#readBackInDoubt(scan)
    if (this.#modes.writer === writer && !writer.stopped) this.#modes.serveNumbered(writer)
  }

  /** Where the slots are lost nobody knows what Kafka has of the spool: what fills it would stay, and no resync begin. */
  #isStuck(): boolean {
    return this.#opened.control.damage === 'CONTROL_LOST' && !this.#keeper.hasRoom()
  }

  /** A full resync makes all of it superfluous (T6). */
  async #dropSpool(): Promise<void> {
    const { log } = this.#opened
    await log.deleteBefore(log.appendedThrough)
    this.#index.forgetBefore(log.firstLsn)
  }

  /** Nothing is served before it is durable (T5). */
  async #record(patch: Partial<ControlRecord>): Promise<void> {
    try {
      await this.#opened.control.update(patch)
    } catch (error) {
      rethrowAssertion(error)
      throw fault('STATE_VOLUME_FAILED', 'the control slots cannot be written', { cause: error })
    }
  }

  /** S5: the source says what became of writes that were under way when the agent died. */
  async #readBackInDoubt({ inDoubt, inDoubtFrom }: SpoolScan): Promise<void> {
    const { writer, device, sourceTimeMs } = this.#modes
    if (writer === null) return
    // Killed again half-way, the next start finds all of them in doubt, not only what this one appended.
    const unfinished = writer.holdUnfinished(inDoubtFrom)
    this.#deps.observer?.readBack?.(this.options.diskId, inDoubt.length)
    try {
      for (const extent of inDoubt) {
        const hold = await this.#lock.acquire(extent)
        let whole: boolean
        try {
          whole = await readBackExtent({ device, writer, sourceTimeMs }, extent)
        } finally {
          hold.release()
        }
        if (!whole) return await this.#modes.owedDurably()
      }
      unfinished.finished = true
    } catch (error) {
      await this.#modes.storageFailed(error)
    }
  }

  #attach(): void {
    const { kafkaPartition, shipped } = this.#opened.control.current
    if (kafkaPartition === null) return
    this.#deps.shipping.attach({ diskId: this.options.diskId, kafkaPartition, hint: shipped })
  }

  #appended(frames: readonly AppendedFrame[]): void {
    const nowMs = this.#deps.clock.monotonicMs()
    for (const frame of frames) this.#index.add(frame, nowMs)
    this.#keeper.appended()
    this.#deps.shipping.ring(this.options.diskId)
  }

  #trouble(error: unknown): void {
    rethrowAssertion(error)
    this.#deps.observer?.trouble?.(this.options.diskId, error)
  }

  #spoolTrouble(error: unknown): void {
    this.#trouble(error)
    void this.#modes.goAhead('SPOOL_FAILED')
  }

  /** Numbers a recovery point in this tick (S6); false when the spool lost it. Only while `inStep`. */
  cut(mark: Omit<RecoveryPointEvent, 'kind' | 'capturedAtMs'>): Promise<boolean> {
    const { writer } = this.#modes
    if (writer === null) return Promise.resolve(false)
    const event: RecoveryPointEvent = {
      kind: 'recoveryPoint',
      ...mark,
      capturedAtMs: this.#modes.sourceTimeMs(),
    }
    const appended = appendEvents(writer, { events: [event], data: [] })
    this.#lastCut = { cutId: mark.cutId, sequence: writer.numberedThrough, writer }
    return appended
  }

  /** True when a recovery point can be cut now. */
  get inStep(): boolean {
    return this.#modes.inStep
  }

  /** The cut that nothing was numbered after; null when something was, or nothing was cut in this generation. */
  get cutAtEnd(): string | null {
    const { writer } = this.#modes
    const last = this.#lastCut
    return last?.writer === writer && last?.sequence === writer?.numberedThrough
      ? (last?.cutId ?? null)
      : null
  }

  shipped(report: ShippedReport): void {
    this.#keeper.acknowledged(report)
  }

  received(position: Position): void {
    this.#keeper.receivedThrough(position)
  }

  /** Null when Kafka of this site takes the stream, else why not. */
  kafka(code: string | null): void {
    if (code === this.#kafkaCode) return
    this.#kafkaCode = code
    const { state, code: shown } = this.status()
    this.#deps.observer?.stateChanged?.({ diskId: this.options.diskId, state, code: shown })
  }

  /** The target, or the shipper, needs a new generation with base = full. Older requests are ignored. */
  async resync(request: ResyncRequest): Promise<void> {
    const { generation, mode } = this.#modes.record
    const { unreadableThroughLsn } = request
    if (unreadableThroughLsn !== undefined) {
      if (unreadableThroughLsn <= this.#modes.generationFromLsn) return
      this.#keeper.unreadable(unreadableThroughLsn)
    }
    if (mode === 'AHEAD' || generation === null || request.expectedGeneration < generation.number) return
    await this.#modes.goAhead(request.code, { counts: false })
  }

  /** Once a second, also while the one before still waits for its volume: what hangs is to be noticed. */
  tick(): Promise<void> {
    this.#watchAppends()
    return this.#tend()
  }

  async #tend(): Promise<void> {
    await this.#repair.tend()
    void this.#resyncWhenPossible()
    await this.#keeper.tend()
  }

  #watchAppends(): void {
    const { writer } = this.#modes
    const isSlow = this.#latency.second({
      monotonicMs: this.#deps.clock.monotonicMs(),
      loopDelayMs: this.#deps.loopDelayMs?.() ?? 0,
      outstanding: writer?.outstanding ?? null,
    })
    if (isSlow && writer !== null) void this.#modes.goAhead('SPOOL_SLOW')
  }

  async #resyncWhenPossible(): Promise<void> {
    if (this.#modes.record.mode !== 'AHEAD' || this.#resyncWanted) return
    if (this.#kafkaCode !== null || !this.#keeper.hasRoom()) return
    this.#resyncWanted = true
    try {
      await this.#modes.beginResync()
    } catch (error) {
      this.#trouble(error)
    } finally {
      this.#resyncWanted = false
    }
  }

  status(): DiskStatus {
    const { record, writer } = this.#modes
    const { state, code } = stateAndCodeOf(this.#modes, this.#kafkaCode)
    const inStream = record.mode === 'STREAMING' && writer !== null
    return {
      diskId: this.options.diskId,
      groupId: this.options.groupId,
      sizeBytes: this.sizeBytes,
      state,
      code,
      position: writer?.position ?? record.endPosition,
      numberedThrough: writer?.numberedThrough ?? 0,
      rawBytes: writer?.appended.rawBytes ?? 0,
      consistentAsOfMs: inStream ? this.#modes.sourceTimeMs() : record.consistentAsOfMs,
      shipped: this.#keeper.shipped?.position ?? null,
      received: this.#keeper.received,
      spoolBytes: this.#opened.log.allocatedBytes,
      progress: this.#modes.progress(),
    }
  }

  /** Orderly end: drains, flushes and says so (T5). The NBD server has stopped before. */
  async close(): Promise<void> {
    const { control, log } = this.#opened
    await this.path.idle()
    await this.#modes.close()
    await this.#modes.writer?.idle()
    const lostCode = await this.#makeDurable()
    const reason = lostCode === null ? this.#modes.owed : { code: lostCode, counts: true }
    const owed = reason === null ? {} : this.#modes.aheadRecord(reason)
    const { shipped } = this.#keeper
    const record = {
      ...owed,
      cleanShutdown: reason === null,
      durableThroughLsn: log.durableThrough,
      shipped,
    }
    await control.update(record).catch((error: unknown) => this.#trouble(error))
    this.#deps.shipping.detach(this.options.diskId)
    await log.close()
    await control.close()
    await this.device.close()
  }

  /**
   * Flushes disk and spool. Null when both hold everything, else why all is owed: after a failed fdatasync the page
   * cache still shows what the storage may have lost, so no later read-back would find it.
   */
  async #makeDurable(): Promise<string | null> {
    // A disk whose storage failed may be closed already, between two tries to open it.
    if (this.#modes.failure !== null) return this.#modes.failure.code
    const flush = async (part: Promise<void>, code: string) => {
      try {
        await part
        return null
      } catch (error) {
        this.#trouble(error)
        return code
      }
    }
    const diskCode = await flush(this.device.flush(), 'LOCAL_STORAGE_FAILED')
    const spoolCode = await flush(this.#opened.log.sync(), 'SPOOL_FAILED')
    return diskCode ?? spoolCode
  }
}
