import type { Clock } from '@blockferry/runtime'
import { diskStreamCatalogue, type HaltCode, type Verdict, type Wanted } from '@blockferry/disk-stream'
import type { Disk } from '../disk/disk.ts'
import type { ApplierOptions } from '../options.ts'
import type { Volume } from '../volume/volume.ts'
import type { StreamRequests } from './stream-requests.ts'

/*
 * How a halted stream gets on again (S9, R6):
 *
 *   GAP ──► reread: fetch again from the last accepted set, once
 *             └─still missing──► resend: ask the source, wait `resendDeadlineMs`
 *                                  └─still missing──► resync: ask for a full one, again every `resyncRepeatMs`
 *   BASE_BEHIND, SOURCE_REVERTED, DIVERGED ──► resync          SPLIT_BRAIN ──► a person decides
 *
 * Any accepted set ends it. Reading of headers never stops meanwhile.
 */

type Stage = 'reread' | 'resend' | 'resync'

interface Healing {
  stage: Stage
  readonly code: HaltCode
  readonly generation: number
  readonly fromSequence: number
  /** Monotonic: when the next stage or the next repetition is due. */
  dueMs: number
}

/** A worse verdict is not hidden by a milder one that follows from it. */
const severity: readonly HaltCode[] = ['GAP', 'BASE_BEHIND', 'SOURCE_REVERTED', 'DIVERGED', 'SPLIT_BRAIN']

export type HaltVerdict = Extract<Verdict, { kind: 'halt' }>

export class GapHealer {
  readonly #clock: Clock
  readonly #options: ApplierOptions
  readonly #volume: Volume
  readonly #requests: StreamRequests
  readonly #healings = new Map<Disk, Healing>()

  constructor(parts: {
    readonly clock: Clock
    readonly options: ApplierOptions
    readonly volume: Volume
    readonly requests: StreamRequests
  }) {
    this.#clock = parts.clock
    this.#options = parts.options
    this.#volume = parts.volume
    this.#requests = parts.requests
  }

  isHealing(disk: Disk): boolean {
    return this.#healings.has(disk)
  }

  /**
   * The apply rule halts the disk. Returns true when its records should be read again from the last
   * accepted set on: once, before anybody is asked.
   */
  onHalt(disk: Disk, verdict: HaltVerdict, options: { readonly mayReread: boolean }): boolean {
    const shown = disk.haltedBy('stream')?.code
    const isWorse =
      shown === undefined || severity.indexOf(verdict.code) >= severity.findIndex((code) => code === shown)
    if (isWorse) {
      const { nextCommand } = diskStreamCatalogue[verdict.code]
      this.#volume.raise(disk, 'stream', { code: verdict.code, nextCommand, message: verdict.why })
    }
    return this.#begin(disk, verdict, options)
  }

  /** The disk's records were read again up to where the others are, and nothing was accepted. */
  onRereadDone(disk: Disk): void {
    const healing = this.#healings.get(disk)
    if (healing?.stage === 'reread') this.#enter(disk, healing, 'resend')
  }

  /** A set was accepted: the stream is whole again. */
  onAccepted(disk: Disk): void {
    this.#healings.delete(disk)
    this.#volume.clear(disk, 'stream')
    this.#volume.clear(disk, 'record')
  }

  /** Moves on what is due. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs()
    for (const [disk, healing] of this.#healings) {
      if (healing.stage === 'reread' || nowMs < healing.dueMs) continue
      this.#enter(disk, healing, 'resync')
    }
  }

  #begin(disk: Disk, verdict: HaltVerdict, options: { readonly mayReread: boolean }): boolean {
    const { wanted, code } = verdict
    const running = this.#healings.get(disk)
    if (wanted.kind === 'operator') return false
    if (running !== undefined && running.stage === 'reread' && !options.mayReread) {
      this.#enter(disk, running, 'resend')
    }
    if (running !== undefined) return false
    this.#volume.stats.gaps += 1
    const healing: Healing = { ...placeOf(disk, wanted), stage: 'reread', code, dueMs: Infinity }
    this.#healings.set(disk, healing)
    if (wanted.kind === 'digestResync') this.#enter(disk, healing, 'resync')
    else if (options.mayReread) return true
    else this.#enter(disk, healing, 'resend')
    return false
  }

  #enter(disk: Disk, healing: Healing, stage: 'resend' | 'resync'): void {
    const { resendDeadlineMs, resyncRepeatMs } = this.#options
    const lifetimeMs = stage === 'resend' ? resendDeadlineMs : resyncRepeatMs
    healing.stage = stage
    healing.dueMs = this.#clock.monotonicMs() + lifetimeMs
    if (stage === 'resend') this.#volume.stats.resendsRequested += 1
    else this.#volume.stats.resyncsRequested += 1
    this.#requests.ask({
      kind: stage,
      diskId: disk.diskId,
      expectedGeneration: healing.generation,
      fromSequence: stage === 'resend' ? healing.fromSequence : 1,
      reason: healing.code,
      lifetimeMs,
    })
  }
}

function placeOf(
  disk: Disk,
  wanted: Exclude<Wanted, { kind: 'operator' }>,
): { readonly generation: number; readonly fromSequence: number } {
  if (wanted.kind === 'resend') return { generation: wanted.generation, fromSequence: wanted.fromSequence }
  const newest = Math.max(disk.received.current?.number ?? 0, disk.source?.disk.position?.generation ?? 0)
  return { generation: newest, fromSequence: 1 }
}
