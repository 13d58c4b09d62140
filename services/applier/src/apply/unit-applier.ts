import { AssertionError, codeOf } from '@blockferry/runtime'
import type { Position } from '@blockferry/disk-stream'
import { catalogue } from '../error-catalogue.ts'
import type { Disk } from '../disk/disk.ts'
import { type HaltOrigin, haltOf } from '../disk/halt.ts'
import { isOpenable } from '../disk/disk-state.ts'
import type { ApplierOptions } from '../options.ts'
import type { ApplierDeps } from '../ports.ts'
import type { Volume } from '../volume/volume.ts'
import { recoveryPointOf } from '../volume/recovery-point-index.ts'
import { applyFrames } from './apply-frames.ts'
import { type BatchPlan, type DiskBatch, nothingToApply, planDisk, planGroup } from './batch-plan.ts'
import type { ImageKeeper } from './image-keeper.ts'

/*
 * Applies one batch of a unit: a disk alone, or the disks of a group (R2, R3). The order is the guarantee:
 *
 * A1  A checkpoint that says how far the image may be torn is durable before the first byte is written.
 * A2  The image is flushed, then the recovery points are indexed, then the checkpoint claims both.
 * A3  All members of a group enter and leave a batch in one checkpoint each: no crash leaves two cuts.
 * A4  After a failure nothing is claimed: the same frames are applied again, which is harmless, for a set
 *     writes the same bytes each time.
 */

export interface UnitApplierDeps {
  readonly volume: Volume
  readonly images: ImageKeeper
  readonly deps: ApplierDeps
  readonly options: ApplierOptions
}

export interface StepResult {
  /** Frames applied; 0 when there was nothing to do. */
  readonly frames: number
  readonly bytes: number
  /** True when the unit stands halted and should be tried again later. */
  readonly failed: boolean
}

/**
 * Who ends the halt that a failed stage of a batch leads to: the same frames applied again; or, for a checkpoint,
 * any that succeeds, since there may be no frames left to apply.
 */
interface Stage {
  readonly origin: Extract<HaltOrigin, 'apply' | 'checkpoint'>
  readonly code: 'CHECKPOINT_FAILED' | 'TARGET_FAILED'
}

const stages = {
  target: { origin: 'apply', code: 'TARGET_FAILED' },
  index: { origin: 'apply', code: 'CHECKPOINT_FAILED' },
  checkpoint: { origin: 'checkpoint', code: 'CHECKPOINT_FAILED' },
} as const satisfies Record<string, Stage>

const idle: StepResult = { frames: 0, bytes: 0, failed: false }
const failed: StepResult = { frames: 0, bytes: 0, failed: true }

/** True when a position is at or beyond another; nothing needs reaching when the other is null. */
function reaches(position: Position | null, other: Position | null): boolean {
  if (position === null || other === null) return other === null
  if (position.generation !== other.generation) return position.generation > other.generation
  return position.sequence >= other.sequence
}

export class UnitApplier {
  readonly #deps: UnitApplierDeps

  constructor(deps: UnitApplierDeps) {
    this.#deps = deps
  }

  /** One batch. Faults end as a HALTED disk, never as a throw; assertions do throw. */
  async step(members: readonly Disk[]): Promise<StepResult> {
    const { images } = this.#deps
    for (const disk of members) await images.keepOpen(disk)
    const plan = this.#plan(members)
    if (plan.disks.length === 0)
      return members.some((disk) => disk.haltedBy('image') !== null) ? failed : idle
    if (plan.disks.some(({ disk }) => disk.image === null)) return failed
    const { checkpoint, index, target } = stages
    if (!(await this.#guard(plan, checkpoint, () => this.#enter(plan)))) return failed
    let bytes = 0
    for (const batch of plan.disks) {
      const written = await this.#guard({ ...plan, disks: [batch] }, target, async () => {
        bytes += await this.#write(batch)
      })
      if (!written) return this.#leaveTorn(plan)
    }
    const frames = plan.disks.reduce((sum, batch) => sum + batch.frameCount, 0)
    if (!(await this.#guard(plan, index, () => this.#index(plan)))) return failed
    const claimed = await this.#guard(plan, checkpoint, () => this.#leave(plan))
    return { frames, bytes, failed: !claimed }
  }

  /** Part of the batch is in the images: none is a prefix until the batch was applied again (A4). */
  async #leaveTorn(plan: BatchPlan): Promise<StepResult> {
    for (const { disk, frameCount } of plan.disks) {
      if (frameCount === 0) continue
      disk.torn = true
      await this.#deps.images.drop(disk)
    }
    return failed
  }

  #plan(members: readonly Disk[]): BatchPlan {
    const { volume, options } = this.#deps
    const [first] = members
    if (first === undefined) return nothingToApply
    const complete = volume.cuts.completeOf(first)
    const isPending = (cutId: string): boolean => volume.cuts.isPending(first, cutId)
    const limits = { bytesMax: options.applyBytesMax, isPending }
    return first.groupId === null ? planDisk(first, complete, limits) : planGroup(members, complete, limits)
  }

  /** A1. */
  async #enter(plan: BatchPlan): Promise<void> {
    for (const { disk, frameCount } of plan.disks) {
      const frames = disk.frames.head(frameCount)
      const end = frames.at(-1)?.end ?? null
      if (end !== null && !reaches(disk.writingThrough, end)) disk.writingThrough = end
      // G5 comes later: from here on what is there is no longer offered.
      if (frames.some((frame) => frame.transition === 'resync')) disk.resyncing = true
    }
    await this.#deps.volume.checkpoint.commit()
  }

  async #write({ disk, frameCount }: DiskBatch): Promise<number> {
    const { volume, deps, options } = this.#deps
    const { image } = disk
    if (image === null) return 0
    const frames = disk.frames.head(frameCount)
    await using reader = await volume.journal.reader(frames[0]?.lsn ?? volume.journal.firstLsn)
    const { bytes } = await applyFrames(image.device, frames, {
      reader,
      unpack: deps.unpack,
      sliceBytesMax: options.applySliceBytesMax,
      blockBytes: options.targetBlockBytes,
      writesMax: options.applyWritesMax,
    })
    await image.device.flush()
    return bytes
  }

  /** A2. */
  async #index(plan: BatchPlan): Promise<void> {
    const { volume } = this.#deps
    const baseOf = (diskId: string) => volume.disks.get(diskId)?.base ?? null
    await volume.index.add(plan.cuts.map((cut) => recoveryPointOf(cut, baseOf)))
  }

  /** A2, A3: from the first changed field to the snapshot nothing awaits. */
  async #leave(plan: BatchPlan): Promise<void> {
    const { volume } = this.#deps
    for (const batch of plan.disks) this.#claim(batch, plan)
    const [first] = plan.disks
    if (first !== undefined) volume.cuts.settle(first.disk, plan.cuts)
    // The frames are gone, and with them the next batch that could forget what went wrong before this one.
    for (const { disk } of plan.disks) volume.clear(disk, 'apply')
    await volume.checkpoint.commit()
  }

  #claim({ disk, frameCount }: DiskBatch, plan: BatchPlan): void {
    const frames = disk.frames.head(frameCount)
    for (const frame of frames) {
      if (frame.transition === 'resync') disk.resyncing = true
      if (frame.mark?.kind === 'resyncDone') disk.resyncing = false
    }
    const last = frames.at(-1)
    if (last !== undefined) {
      disk.applied = last.lineage
      disk.appliedKafkaOffset = last.kafkaOffset
      disk.appliedCapturedAtMs = last.lastCapturedAtMs
      // D3: after a crash, or a journal that lost its end, a batch may fall short of what was begun.
      if (reaches(last.end, disk.writingThrough)) {
        disk.writingThrough = null
        disk.torn = false
      }
    }
    disk.frames.drop(frameCount)
    const { endsAt } = plan
    disk.cut = endsAt === null ? null : { cutId: endsAt.cut.cutId, wallTimeMs: endsAt.cut.wallTimeMs }
    if (isOpenable(disk) && (disk.groupId === null || endsAt !== null)) {
      disk.openableAsOfMs = endsAt?.cut.capturedAtMs ?? disk.appliedCapturedAtMs
    }
  }

  /** Runs one stage; its failure halts the disks it was for. */
  async #guard(plan: BatchPlan, { origin, code }: Stage, stage: () => Promise<void>): Promise<boolean> {
    try {
      await stage()
      return true
    } catch (error) {
      // A journal that rotted is opened afresh, by a new process: it ends before the bad frame, and what
      // followed is fetched again from Kafka B (V2).
      if (error instanceof AssertionError || codeOf(error) === 'LOG_CORRUPT') throw error
      const halt = haltOf(error, { code, nextCommand: catalogue[code].nextCommand, message: '' })
      for (const { disk } of plan.disks) this.#deps.volume.raise(disk, origin, halt)
      return false
    }
  }
}
