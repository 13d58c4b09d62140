import type { Clock } from '@blockferry/runtime'
import { diskStreamCatalogue, type HaltCode } from '@blockferry/disk-stream'
import type { Disk } from '../disk/disk.ts'
import type { ApplierOptions } from '../options.ts'
import type { Volume } from '../volume/volume.ts'
import type { FoundHalt } from './receive-batch.ts'
import type { StreamRequests } from './stream-requests.ts'

/*
 * How a halted stream gets on again (S9, R6):
 *
 *   GAP ──► reread: fetch again from the last accepted set, once
 *             └─still missing──► resend: ask the source, wait `resendDeadlineMs`
 *                                  └─still missing──► resync: ask for a full one, again every `resyncRepeatMs`
 *   BASE_BEHIND, SOURCE_REVERTED, DIVERGED ──► resync          SPLIT_BRAIN ──► a person decides
 *
 * Any accepted set ends it. Reading of headers never stops meanwhile. What is missing of a newer generation
 * begins it anew there: the source answers a resync, and drops its older ones, with the next generation, and of
 * that, too, the first set may be lost. A request names the newest generation that is known to have failed;
 * the source ignores one about an older generation than its own, for its answer is on the way.
 */

type Stage = 'reread' | 'resend' | 'resync'

interface Healing {
  stage: Stage
  readonly code: HaltCode
  /** What is missing: this generation, from this sequence. */
  readonly generation: number
  readonly fromSequence: number
  /** Number of the newest generation that a set was halted in meanwhile. */
  newestHalted: number
  /** Monotonic: when the next stage or the next repetition is due. */
  dueMs: number
}

/** A worse verdict is not hidden by a milder one that follows from it. */
const severity: readonly HaltCode[] = ['GAP', 'BASE_BEHIND', 'SOURCE_REVERTED', 'DIVERGED', 'SPLIT_BRAIN']

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

  /** Number of the generation of which something missing is being asked for; 0 when nothing is. */
  healingOf(disk: Disk): number {
    return this.#healings.get(disk)?.generation ?? 0
  }

  /** The apply rule halts the disk, and what led to it is behind the cursor: nobody will find it again. */
  onHalt(disk: Disk, found: FoundHalt): void {
    const { verdict } = found
    const shown = disk.haltedBy('stream')?.code
    const isWorse =
      shown === undefined || severity.indexOf(verdict.code) >= severity.findIndex((code) => code === shown)
    if (isWorse) {
      const { nextCommand } = diskStreamCatalogue[verdict.code]
      this.#volume.raise(disk, 'stream', { code: verdict.code, nextCommand, message: verdict.why })
    }
    this.#begin(disk, found)
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
      // Its place to read again from is gone with the topic, or the partition is searched from its start anyway.
      if (healing.stage === 'reread' && disk.parked === null) this.#enter(disk, healing, 'resend')
      else if (nowMs >= healing.dueMs) this.#enter(disk, healing, 'resync')
    }
  }

  #begin(disk: Disk, found: FoundHalt): void {
    const { wanted, code } = found.verdict
    if (wanted.kind === 'operator') return
    const place =
      wanted.kind === 'resend' ? wanted : ({ generation: found.generation, fromSequence: 1 } as const)
    const running = this.#healings.get(disk)
    if (running !== undefined && running.generation >= place.generation) {
      running.newestHalted = Math.max(running.newestHalted, found.generation)
      if (running.stage === 'reread') this.#enter(disk, running, 'resend')
      return
    }
    this.#volume.stats.gaps += 1
    const { generation, fromSequence } = place
    const newestHalted = Math.max(running?.newestHalted ?? 0, found.generation)
    const healing: Healing = {
      stage: 'reread',
      code,
      generation,
      fromSequence,
      newestHalted,
      dueMs: Infinity,
    }
    this.#healings.set(disk, healing)
    if (wanted.kind === 'digestResync') this.#enter(disk, healing, 'resync')
    else if (!found.reread) this.#enter(disk, healing, 'resend')
  }

  #enter(disk: Disk, healing: Healing, stage: 'resend' | 'resync'): void {
    const { resendDeadlineMs, resyncRepeatMs } = this.#options
    const lifetimeMs = stage === 'resend' ? resendDeadlineMs : resyncRepeatMs
    healing.stage = stage
    healing.dueMs = this.#clock.monotonicMs() + lifetimeMs
    if (stage === 'resend') this.#volume.stats.resendsRequested += 1
    else this.#volume.stats.resyncsRequested += 1
    const { generation, fromSequence, newestHalted, code } = healing
    const newest = Math.max(generation, newestHalted, disk.received.current?.number ?? 0)
    this.#requests.ask({
      kind: stage,
      diskId: disk.diskId,
      expectedGeneration: stage === 'resend' ? generation : newest,
      fromSequence: stage === 'resend' ? fromSequence : 1,
      reason: code,
      lifetimeMs,
    })
  }
}
