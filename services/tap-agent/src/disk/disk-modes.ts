/*
 * The modes of one disk (T7) and the only ways between them:
 *
 *   STREAMING ──append failed, spool limit, SPOOL_SLOW, storage failed, resync asked──► AHEAD
 *   RESYNCING ──the same──► AHEAD ──Kafka answers, room in the spool, generation minted──► RESYNCING
 *   RESYNCING ──resyncDone in the spool──► STREAMING
 *
 * Invariant M1 (T5): AHEAD is durable before the route becomes `direct`.
 * Invariant M2: a generation is durable in the control slots, and its ownership in Kafka, before its first event
 * is numbered.
 * Invariant M3: transitions are exclusive; each begins where the one before it ended.
 */
import type { RangeLock, SyncProgress } from '@blockferry/disk-stream'
import { anchorSourceTime } from '@blockferry/disk-stream'
import { AssertionError, codeOf } from '@blockferry/runtime'
import type { Lsn, SegmentLog } from '@blockferry/segment-log'
import type { BlockDevice } from '@blockferry/storage'
import { fault } from '../error-catalogue.ts'
import type { ControlRecord } from './control-record.ts'
import type { ControlStore } from './control-store.ts'
import type { AheadReason, TapDiskDeps, TapDiskOptions } from './disk-ports.ts'
import { runFullSync } from './full-sync.ts'
import type { GuestPath, GuestPathOwner } from './guest-path.ts'
import { ServedSource, type StorageFailure } from './served-source.ts'
import { retried, waitWithLimit } from './patience.ts'
import { createSyncMeter, type SyncMeter } from './sync-meter.ts'
import { type AppendedFrame, type AppendedState, SpoolWriter, type SpoolWriterDeps } from './spool-writer.ts'

/** Longest wait for the control slots before writes are refused (G1). */
export const rememberMsMax = 30_000
const retryMsMin = 100
const retryMsMax = 5_000
/** AHEADs without a resync done in between (T7). */
export const notConvergingCount = 3

export interface DiskModesDeps {
  readonly disk: TapDiskDeps
  readonly options: TapDiskOptions
  readonly control: ControlStore
  readonly log: SegmentLog
  readonly lock: RangeLock
  readonly onFrames: (frames: readonly AppendedFrame[]) => void
  readonly onAppendDone: SpoolWriterDeps['onAppendDone']
  /** Share of the spool's limit that Kafka has not acknowledged. */
  readonly pressure: () => number
}

export class DiskModes implements GuestPathOwner {
  readonly #deps: DiskModesDeps
  readonly #clockTimeMs: () => number
  readonly #closing = new AbortController()
  readonly #source: ServedSource
  #path: GuestPath | null = null
  #writer: SpoolWriter | null = null
  #generationFromLsn: Lsn = 0
  #refusedCode: string | null = null
  /** Resolves when what waits for AHEAD is refused. */
  #refusal = Promise.withResolvers<void>()
  #owed: AheadReason | null = null
  #transition: Promise<void> = Promise.resolve()
  #turning: Promise<void> | null = null
  #syncAbort = new AbortController()
  #syncing: Promise<void> = Promise.resolve()
  #meter: SyncMeter | null = null
  #minting = false

  constructor(deps: DiskModesDeps, device: BlockDevice) {
    this.#deps = deps
    const { signal } = this.#closing
    this.#source = new ServedSource({ ...deps, signal, onTrouble: (error) => this.#trouble(error) }, device)
    this.#clockTimeMs = anchorSourceTime(deps.disk.clock)
  }

  readonly sourceTimeMs = (): number =>
    Math.max(this.#clockTimeMs(), this.#writer?.appended.point.capturedAtMs ?? 0)

  get record(): ControlRecord {
    return this.#deps.control.current
  }

  get device(): BlockDevice {
    return this.#source.device
  }

  /** Null in AHEAD. */
  get writer(): SpoolWriter | null {
    return this.#writer
  }

  get failure(): StorageFailure | null {
    return this.#source.failure
  }

  /** Code of what makes the disk refuse writes although its storage is well. */
  get refusedCode(): string | null {
    return this.#refusedCode
  }

  /** Why all is owed although the slots do not say so: the disk was closed first. */
  get owed(): AheadReason | null {
    return this.#owed
  }

  /** True when a recovery point can be cut (S6). */
  get inStep(): boolean {
    const stopped = (this.#writer?.stopped ?? true) || this.#closing.signal.aborted
    return this.record.mode === 'STREAMING' && !stopped && this.failure === null && this.#turning === null
  }

  progress(): SyncProgress | null {
    return this.record.mode === 'RESYNCING' ? (this.#meter?.progress() ?? null) : null
  }

  usePath(path: GuestPath): void {
    this.#path = path
  }

  /** Starts serving in AHEAD: everything is owed. */
  serveAhead(): void {
    this.#requirePath().setRoute({ kind: 'direct' })
  }

  /** Where the running generation begins in the spool, or could at the latest: 0 for one found at the start. */
  get generationFromLsn(): Lsn {
    return this.#generationFromLsn
  }

  newWriter(generation: NonNullable<ControlRecord['generation']>, from?: AppendedState): SpoolWriter {
    const { log, onFrames, onAppendDone, disk } = this.#deps
    const onFailed = (error: unknown) => this.#spoolFailed(error)
    const writer = new SpoolWriter(
      { log, clock: disk.clock, onFrames, onAppendDone, onFailed },
      generation,
      from,
    )
    this.#writer = writer
    this.#generationFromLsn = from === undefined ? log.appendedThrough : 0
    return writer
  }

  /** Starts serving on the numbered route; goes on with an unfinished full sync. */
  serveNumbered(writer: SpoolWriter): void {
    this.#requirePath().setRoute({ kind: 'numbered', writer })
    if (this.record.mode === 'RESYNCING') this.#syncing = this.#sync(writer, writer.appended)
  }

  #spoolFailed(error: unknown): void {
    this.#trouble(error)
    void this.goAhead(codeOf(error) === 'LOG_FULL' ? 'SPOOL_FULL' : 'SPOOL_FAILED')
  }

  /**
   * Resolves once AHEAD is durable and the route follows it (M1), however long that takes. Never rejects. What waits
   * for it, or for the append under way, is refused when 30 s have passed since the first of the two began (G1).
   * Of a disk that is being closed only the reason is kept, for the last record that `close` writes.
   */
  goAhead(code: string, options: { readonly counts?: boolean } = {}): Promise<void> {
    if (this.#turning !== null) return this.#turning
    if (this.#closing.signal.aborted) {
      this.#owed ??= { code, counts: options.counts ?? true }
      return Promise.resolve()
    }
    const { clock } = this.#deps.disk
    this.#refusal = Promise.withResolvers<void>()
    const turned = this.#exclusive(() => this.#turnAhead(code, options.counts ?? true))
    const limit = {
      clock,
      sinceMs: this.#writer?.outstanding?.sinceMs ?? clock.monotonicMs(),
      limitMs: rememberMsMax,
      signal: this.#closing.signal,
      late: () => this.#refuse(),
    }
    this.#turning = waitWithLimit(turned, limit).finally(() => {
      this.#turning = null
    })
    return this.#turning
  }

  async #turnAhead(code: string, counts: boolean): Promise<void> {
    const writer = this.#writer
    if (this.record.mode === 'AHEAD' || writer === null) return
    const path = this.#requirePath()
    if (this.#refusedCode === null) path.setRoute({ kind: 'parked' })
    this.#syncAbort.abort()
    const consistentAsOfMs = this.#consistentAsOfMs()
    await writer.stop()
    if (!(await this.#remember({ ...this.aheadRecord({ code, counts }), consistentAsOfMs }))) {
      this.#owed = { code, counts }
      return
    }
    this.#refusedCode = null
    if (this.#closing.signal.aborted) return
    this.#writer = null
    path.setRoute(this.failure === null ? { kind: 'direct' } : { kind: 'refused', cause: this.failure.cause })
    this.#changed('AHEAD', code)
  }

  /** What the slots are to say of a disk that goes AHEAD; nothing new when it is. The spool takes nothing any more. */
  aheadRecord(ahead: AheadReason): Partial<ControlRecord> {
    const writer = this.#writer
    if (this.record.mode === 'AHEAD' || writer === null) return {}
    return {
      mode: 'AHEAD',
      aheadCode: ahead.code,
      endPosition: writer.position,
      consistentAsOfMs: this.#consistentAsOfMs(),
      aheadCount: this.record.aheadCount + (ahead.counts ? 1 : 0),
    }
  }

  /** Frozen once the disk is out of step (T7). */
  #consistentAsOfMs(): number | null {
    return this.record.mode === 'STREAMING' ? this.sourceTimeMs() : this.record.consistentAsOfMs
  }

  /** Makes a change durable, however long it takes; false when the disk is closed before. */
  #remember(patch: Partial<ControlRecord>): Promise<boolean> {
    return retried(() => this.#deps.control.update(patch), {
      clock: this.#deps.disk.clock,
      signal: this.#closing.signal,
      retryMsMin,
      retryMsMax,
      onError: (error) => this.#trouble(error),
    })
  }

  /** G1. The writes in doubt are read back by the next start, should the agent die before AHEAD is durable (S5). */
  #refuse(): void {
    this.#refusal.resolve()
    if (this.#writer === null) return
    this.#refusedCode = 'STATE_VOLUME_FAILED'
    this.#writer.abandon()
    const cause = fault('STATE_VOLUME_FAILED', 'nothing could remember this write')
    this.#requirePath().setRoute({ kind: 'refused', cause })
    this.#changed('FAILED', this.#refusedCode)
  }

  owedDurably(): Promise<void> {
    return this.#orRefused(this.goAhead('LOCAL_STORAGE_FAILED'))
  }

  async storageFailed(error: unknown): Promise<void> {
    rethrowAssertion(error)
    const first = this.#source.fail(error)
    const ahead = this.goAhead('LOCAL_STORAGE_FAILED')
    await this.#orRefused(first ? ahead.then(() => this.#enterFailed(error)) : ahead)
  }

  async #orRefused(ahead: Promise<void>): Promise<void> {
    await Promise.race([ahead, this.#refusal.promise])
  }

  #enterFailed(error: unknown): void {
    this.#requirePath().setRoute({ kind: 'refused', cause: error })
    this.#trouble(error)
    this.#changed('FAILED', 'LOCAL_STORAGE_FAILED')
    void this.#reopen()
  }

  async #reopen(): Promise<void> {
    const path = this.#requirePath()
    if (!(await this.#source.reopened(path))) return
    path.setRoute({ kind: 'direct' })
    this.#changed('AHEAD', this.record.aheadCode)
  }

  /** Runs `use` in AHEAD, where nothing is appended to the spool and no generation begins meanwhile (M3). */
  async inAhead(use: () => Promise<void>): Promise<void> {
    await this.#exclusive(async () => {
      if (this.record.mode === 'AHEAD' && !this.#closing.signal.aborted) await use()
    })
  }

  /**
   * AHEAD → RESYNCING (M2): mints a generation with base = full and begins the sync. Does nothing unless
   * the disk is AHEAD and well. Rejects when the generation cannot be minted; the disk stays AHEAD.
   */
  async beginResync(): Promise<void> {
    if (this.record.mode !== 'AHEAD' || this.failure !== null || this.#turning !== null || this.#minting)
      return
    this.#minting = true
    try {
      const { options, disk } = this.#deps
      const minted = await disk.authority.mint({
        diskId: options.diskId,
        groupId: options.groupId,
        provisioning: options.provisioning,
        sizeBytes: this.device.sizeBytes,
        reason: this.record.generation === null ? 'initial' : 'resync',
        base: { kind: 'full' },
        predecessor: this.record.endPosition,
        generationSeenMax: this.record.generationSeenMax,
        kafkaPartition: this.record.kafkaPartition,
        stamp: disk.stamp(),
      })
      await this.#exclusive(async () => {
        const closing = this.#closing.signal.aborted
        if (this.record.mode !== 'AHEAD' || this.failure !== null || this.#refusedCode !== null || closing)
          return
        await this.#enterResync(minted)
      })
    } finally {
      this.#minting = false
    }
  }

  async #enterResync(minted: Awaited<ReturnType<TapDiskDeps['authority']['mint']>>): Promise<void> {
    const { generation, kafkaPartition } = minted
    await this.#deps.control.update({
      mode: 'RESYNCING',
      aheadCode: null,
      generation,
      generationSeenMax: generation.number,
      kafkaPartition,
    })
    const { diskId } = this.#deps.options
    this.#deps.disk.shipping.attach({ diskId, kafkaPartition, hint: this.record.shipped })
    this.#deps.disk.observer?.resyncBegan?.(diskId, generation)
    this.#changed('RESYNCING', null)
    this.serveNumbered(this.newWriter(generation))
  }

  async #sync(writer: SpoolWriter, from: AppendedState): Promise<void> {
    const { disk, lock, pressure } = this.#deps
    const device = this.device
    this.#syncAbort = new AbortController()
    const signal = AbortSignal.any([this.#syncAbort.signal, this.#closing.signal])
    const { sourceTimeMs } = this
    try {
      const cursorBytes = from.syncDone ? device.sizeBytes : from.syncCursorBytes
      const meter = await createSyncMeter({ device, clock: disk.clock }, cursorBytes)
      this.#meter = meter
      const onDataBytes = (byteLength: number) => meter.add(byteLength)
      const deps = { device, lock, writer, clock: disk.clock, sourceTimeMs, pressure, signal, onDataBytes }
      const done = from.syncDone || (await runFullSync(deps, cursorBytes))
      if (done) await this.#exclusive(() => this.#enterStreaming(writer))
    } catch (error) {
      if (!signal.aborted) await this.storageFailed(error)
    }
  }

  async #enterStreaming(writer: SpoolWriter): Promise<void> {
    if (this.#writer !== writer || writer.stopped || this.record.mode !== 'RESYNCING') return
    try {
      await this.#deps.control.update({ mode: 'STREAMING', consistentAsOfMs: null, aheadCount: 0 })
    } catch (error) {
      // No write waits for this, so none is refused for it; AHEAD waits for the volume within its bound.
      this.#trouble(error)
      void this.goAhead('SPOOL_FAILED')
      return
    }
    if (this.#closing.signal.aborted) return
    this.#deps.disk.observer?.resyncDone?.(this.#deps.options.diskId)
    this.#changed('STREAMING', null)
  }

  /** Stops the sync and every retry; resolves once none of them uses device, spool or slots any more. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#syncing
    await this.#transition
    // A transition that was under way may have begun a sync, which ends at once, by a transition of its own.
    await this.#syncing
    await this.#transition
  }

  /** M3. */
  #exclusive(run: () => Promise<void>): Promise<void> {
    const done = this.#transition.then(run)
    this.#transition = done.then(nothing, nothing)
    return done
  }

  #requirePath(): GuestPath {
    if (this.#path === null) throw new AssertionError('a disk has its path before it serves')
    return this.#path
  }

  #trouble(error: unknown): void {
    rethrowAssertion(error)
    this.#deps.disk.observer?.trouble?.(this.#deps.options.diskId, error)
  }

  #changed(state: string, code: string | null): void {
    this.#deps.disk.observer?.stateChanged?.({ diskId: this.#deps.options.diskId, state, code })
  }
}

/** A broken invariant is no storage error: it ends the process. */
export function rethrowAssertion(error: unknown): void {
  if (error instanceof AssertionError) throw error
}

function nothing(): void {
  // The next transition starts whatever became of this one; its own caller hears of its failure.
}
