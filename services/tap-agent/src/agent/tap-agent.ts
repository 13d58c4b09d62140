/*
 * All disks of one agent: opened one by one (a bad one never harms its neighbours), ticked once a second,
 * cut together, shown to the shipper.
 */
import type { ClockSkew, Position } from '@blockferry/disk-stream'
import { assert, type Clock, codeOf, Fault, type Random } from '@blockferry/runtime'
import { type CutGroup, CutScheduler, groupsOf, type RecoveryPoint } from '../cut/cut-scheduler.ts'
import type { ShipHint } from '../disk/control-record.ts'
import { catalogue } from '../error-catalogue.ts'
import { rethrowAssertion } from '../disk/disk-modes.ts'
import type { ResyncRequest, StreamAuthority, TapDiskDeps, TapDiskOptions } from '../disk/disk-ports.ts'
import type { DiskStatus } from '../disk/disk-state.ts'
import { TapDisk } from '../disk/tap-disk.ts'
import type { Shipper } from '../shipper/shipper.ts'
import type { Bell, ShipperListener } from '../shipper/shipper-ports.ts'
import { HostSpool, spoolVolumeShareDefault, type VolumeSpace } from '../spool/host-spool.ts'
import { stampEveryMs, type StampStore } from './stamp-store.ts'

/** Heartbeats, retention, sync: once a second. */
export const tickMs = 1_000
const openRetryMsMin = 1_000
const openRetryMsMax = 30_000

/** A disk that is not served, and why. */
export interface UnservedDisk {
  readonly diskId: string
  readonly groupId: string | null
  readonly code: string
  readonly message: string
  readonly nextCommand: string
}

export interface TapAgentDeps {
  readonly clock: Clock
  readonly random: Random
  readonly bootId: string
  readonly stamps: StampStore
  readonly loopDelayMs?: () => number
  /** The storage of one disk; everything else of its deps the agent adds. */
  readonly storageOf: (options: TapDiskOptions) => Pick<TapDiskDeps, 'openDevice' | 'openSpool' | 'openSlots'>
  /** The volume of the state directory; without it only each disk's own spool limit counts. */
  readonly volume?: () => Promise<VolumeSpace>
  readonly observer?: TapDiskDeps['observer'] & {
    cut?(point: RecoveryPoint, isWhole: boolean): void
    diskOpened?(diskId: string): void
    diskRefused?(refused: UnservedDisk): void
  }
}

export interface TapAgentOptions {
  readonly disks: readonly TapDiskOptions[]
  /** 0: only on demand. */
  readonly cutIntervalMs: number
  /** Share of the volume that all spools together may take, 0 to 1. */
  readonly spoolVolumeShare?: number
}

/** An error of the kernel keeps its own code, and has no command of its own. */
function nextCommandOf(error: unknown): string {
  return error instanceof Fault ? error.nextCommand : catalogue.LOCAL_STORAGE_FAILED.nextCommand
}

/** The side of the shipper the agent needs; a thread away in production. */
export type ShipperHandle = Pick<Shipper, 'attach' | 'detach' | 'mint' | 'beat'>

export class TapAgent implements ShipperListener {
  readonly #deps: TapAgentDeps
  readonly #options: TapAgentOptions
  readonly #shipper: ShipperHandle
  readonly #bell: Bell
  readonly #disks = new Map<string, TapDisk>()
  readonly #unserved = new Map<string, UnservedDisk>()
  readonly #stopping = new AbortController()
  readonly #kafkaCodes = new Map<number | null, string | null>([[null, 'KAFKA_UNREACHABLE']])
  readonly #partitions = new Map<string, number>()
  /** What the target has of each disk: told also to those that are opened later. */
  readonly #received = new Map<string, Position>()
  readonly #cuts: CutScheduler
  readonly hostSpool: HostSpool | null
  readonly groups: ReadonlyMap<string, CutGroup>
  readonly #running: Promise<void>[] = []
  readonly #ticking = new Set<Promise<void>>()
  #skew: ClockSkew | null = null

  constructor(deps: TapAgentDeps, options: TapAgentOptions, link: { shipper: ShipperHandle; bell: Bell }) {
    this.#deps = deps
    this.#options = options
    this.#shipper = link.shipper
    this.#bell = link.bell
    this.groups = groupsOf(options.disks)
    this.hostSpool = deps.volume === undefined ? null : this.#createHostSpool(deps.volume)
    this.#cuts = new CutScheduler({
      clock: deps.clock,
      random: deps.random,
      groups: this.groups,
      diskOf: (diskId) => this.#disks.get(diskId),
      onCut: (point, isWhole) => deps.observer?.cut?.(point, isWhole),
    })
  }

  #createHostSpool(volume: () => Promise<VolumeSpace>): HostSpool {
    const disks = this.#disks
    return new HostSpool({
      volume,
      share: this.#options.spoolVolumeShare ?? spoolVolumeShareDefault,
      tenants: () => [...disks.values()].map(({ spool }) => spool),
      onTrouble: (error) => this.trouble(error),
    })
  }

  /** Opens every disk once, then goes on with those that could not be opened, with back-off. */
  async start(): Promise<void> {
    await Promise.all(this.#options.disks.map((options) => this.#tryOpen(options)))
    for (const options of this.#options.disks) this.#running.push(this.#keepOpening(options))
    this.#running.push(this.#tickLoop(), this.#stampLoop())
    if (this.#options.cutIntervalMs > 0) this.#running.push(this.#cutLoop())
  }

  get served(): ReadonlyMap<string, TapDisk> {
    return this.#disks
  }

  get unserved(): readonly UnservedDisk[] {
    return [...this.#unserved.values()]
  }

  get clockSkew(): ClockSkew | null {
    return this.#skew
  }

  statuses(): readonly DiskStatus[] {
    return [...this.#disks.values()].map((disk) => disk.status())
  }

  cutNow(id: string, request: { name: string | null; requestId: string | null }): Promise<RecoveryPoint> {
    return this.#cuts.cutNow(id, request)
  }

  async #tryOpen(options: TapDiskOptions): Promise<boolean> {
    const { diskId, groupId } = options
    try {
      const disk = await TapDisk.open(this.#diskDeps(options), options)
      this.#disks.set(diskId, disk)
      this.#unserved.delete(diskId)
      disk.kafka(this.#kafkaCodeOf(diskId))
      const received = this.#received.get(diskId)
      if (received !== undefined) disk.received(received)
      this.#deps.observer?.diskOpened?.(diskId)
      return true
    } catch (error) {
      rethrowAssertion(error)
      const message = error instanceof Error ? error.message : String(error)
      const nextCommand = nextCommandOf(error)
      const refused = { diskId, groupId, code: codeOf(error), message, nextCommand }
      if (this.#unserved.get(diskId)?.message !== message) this.#deps.observer?.diskRefused?.(refused)
      this.#unserved.set(diskId, refused)
      return false
    }
  }

  async #keepOpening(options: TapDiskOptions): Promise<void> {
    const { signal } = this.#stopping
    let retryMs = openRetryMsMin
    while (!this.#disks.has(options.diskId) && !signal.aborted) {
      await this.#deps.clock.sleep(retryMs, signal)
      if (signal.aborted || (await this.#tryOpen(options))) return
      retryMs = Math.min(retryMs * 2, openRetryMsMax)
    }
  }

  #diskDeps(options: TapDiskOptions): TapDiskDeps {
    const { bootId, clock, loopDelayMs, observer, random, stamps } = this.#deps
    const authority: StreamAuthority = { mint: (request) => this.#shipper.mint(request) }
    return {
      clock,
      random,
      bootId,
      authority,
      stamp: () => stamps.newest,
      ...this.#deps.storageOf(options),
      ...(observer === undefined ? {} : { observer }),
      ...(loopDelayMs === undefined ? {} : { loopDelayMs }),
      ...(this.hostSpool === null ? {} : { hostSpool: this.hostSpool }),
      shipping: {
        attach: (disk) => {
          this.#partitions.set(disk.diskId, disk.kafkaPartition)
          this.#shipper.attach(disk)
        },
        ring: () => this.#bell.ring(),
        detach: (diskId) => this.#shipper.detach(diskId),
      },
    }
  }

  async #tickLoop(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      // Not awaited: a volume that hangs must not keep heartbeats from going.
      void this.hostSpool?.tend()
      for (const disk of this.#disks.values()) this.#tick(disk)
      this.#shipper.beat(this.statuses(), this.#deps.stamps.newest)
      await this.#deps.clock.sleep(tickMs, signal)
    }
  }

  /** Not awaited: a volume that is slow, or hangs, holds neither its neighbours nor the watch over itself. */
  #tick(disk: TapDisk): void {
    const failed = (error: unknown): void => {
      rethrowAssertion(error)
      this.#deps.observer?.trouble?.(disk.options.diskId, error)
    }
    const done = disk
      .tick()
      .catch(failed)
      .finally(() => this.#ticking.delete(done))
    this.#ticking.add(done)
  }

  async #stampLoop(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await this.#deps.clock.sleep(stampEveryMs, signal)
      if (signal.aborted) return
      try {
        await this.#deps.stamps.advance()
      } catch (error) {
        rethrowAssertion(error)
        this.#deps.observer?.trouble?.('', error)
      }
    }
  }

  async #cutLoop(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await this.#deps.clock.sleep(this.#options.cutIntervalMs, signal)
      // Not awaited: a group whose spool hangs is passed over, the others go on.
      if (!signal.aborted) void this.#cuts.cutDue()
    }
  }

  shipped(diskId: string, hint: ShipHint): void {
    this.#disks.get(diskId)?.shipped(hint)
  }

  received(diskId: string, position: Position): void {
    if (this.#options.disks.some((disk) => disk.diskId === diskId)) this.#received.set(diskId, position)
    this.#disks.get(diskId)?.received(position)
  }

  kafka(kafkaPartition: number | null, code: string | null): void {
    if (this.#kafkaCodes.get(kafkaPartition) === code) return
    this.#kafkaCodes.set(kafkaPartition, code)
    for (const [diskId, disk] of this.#disks) disk.kafka(this.#kafkaCodeOf(diskId))
  }

  /** The disk's own partition's code once it has one, else that of the link. */
  #kafkaCodeOf(diskId: string): string | null {
    const kafkaPartition = this.#partitions.get(diskId)
    const own = kafkaPartition === undefined ? undefined : this.#kafkaCodes.get(kafkaPartition)
    return own === undefined ? (this.#kafkaCodes.get(null) ?? null) : own
  }

  resync(diskId: string, request: ResyncRequest): void {
    const disk = this.#disks.get(diskId)
    if (disk !== undefined) void disk.resync(request)
  }

  skew(skew: ClockSkew): void {
    this.#skew = skew
  }

  trouble(error: unknown): void {
    this.#deps.observer?.trouble?.('', error)
  }

  /** Orderly end (T5): the NBD server has stopped before. */
  async close(): Promise<void> {
    assert(!this.#stopping.signal.aborted, 'an agent is closed once')
    this.#stopping.abort()
    await Promise.all([...this.#running, ...this.#ticking])
    await Promise.all([...this.#disks.values()].map((disk) => disk.close()))
    await this.#deps.stamps.close()
  }
}
