import { AssertionError } from '@blockferry/runtime'
import type { ControlSlots } from '@blockferry/storage'
import { DelayWindow } from '../lag/delay-window.ts'
import { CutBoard } from '../apply/cut-board.ts'
import { Disk, type SourceView } from '../disk/disk.ts'
import { type Halt, type HaltOrigin, haltOf } from '../disk/halt.ts'
import { stateOf } from '../disk/disk-state.ts'
import { catalogue } from '../error-catalogue.ts'
import type { ApplierLogger } from '../ports.ts'
import {
  type CheckpointBody,
  checkpointTooLarge,
  encodeCheckpoint,
  type RememberedSource,
} from './checkpoint-body.ts'
import { CheckpointWriter } from './checkpoint-writer.ts'
import type { Journal } from './journal.ts'
import type { RecoveryPointIndex } from './recovery-point-index.ts'
import { newStats } from './stats.ts'

export interface VolumeParts {
  readonly journal: Journal
  readonly index: RecoveryPointIndex
  readonly slots: ControlSlots
  readonly logger: ApplierLogger
  /** Whether this applier has a target for a disk; others of the site may have the others'. */
  readonly isOurs: (diskId: string) => boolean
}

/** Called when what a disk shows as its state or code has changed. */
export type StateListener = (disk: Disk) => void

/**
 * What the disks of one applier share: the redo journal, the checkpoint, the recovery point index, and
 * where reading of Kafka B goes on. Everything a checkpoint claims is taken from here, in one tick.
 */
export class Volume {
  readonly disks = new Map<string, Disk>()
  readonly cuts = new CutBoard()
  readonly stats = newStats()
  /** Durations of group commits: append and fdatasync. */
  readonly commitTimes = new DelayWindow()
  /** From a record's append in Kafka B to its receipt here, durable. */
  readonly arrivalDelays = new DelayWindow()
  readonly journal: Journal
  readonly index: RecoveryPointIndex
  readonly checkpoint: CheckpointWriter
  readonly #logger: ApplierLogger
  readonly #slots: ControlSlots
  readonly isOurs: (diskId: string) => boolean
  readonly #listeners = new Set<StateListener>()
  readonly #shownStates = new Map<string, string>()
  #checkpointBytes = 0
  /** Topic id of the mirrored updates that `cursors` belong to. */
  topicId: string | null = null
  /** Next Kafka offset to read, by partition: all below is in the journal, judged away, or parked. */
  readonly cursors = new Map<number, bigint>()
  /** First offset that Kafka B still keeps, by partition; refreshed now and then. */
  readonly earliest = new Map<number, bigint>()

  constructor(parts: VolumeParts) {
    this.journal = parts.journal
    this.index = parts.index
    this.#logger = parts.logger
    this.#slots = parts.slots
    this.isOurs = parts.isOurs
    this.checkpoint = new CheckpointWriter(parts.slots, () => this.#snapshot())
  }

  /** Bytes of the newest checkpoint, written or refused. */
  get checkpointBytes(): number {
    return this.#checkpointBytes
  }

  get checkpointBytesMax(): number {
    return this.#slots.recordBytesMax
  }

  /** Whether what was found at the start is durable: before, nothing new is acknowledged (V3). */
  get isCheckpointed(): boolean {
    return this.checkpoint.writes > 0
  }

  /** The disk, known from now on if it was not. */
  disk(diskId: string): Disk {
    const known = this.disks.get(diskId)
    if (known !== undefined) return known
    const disk = new Disk(diskId)
    this.disks.set(diskId, disk)
    return disk
  }

  /** The disks that share a group with this one, itself included, sorted by id. */
  unitOf(disk: Disk): readonly Disk[] {
    if (disk.groupId === null) return [disk]
    const members = [...this.disks.values()].filter((other) => other.groupId === disk.groupId)
    return members.toSorted((a, b) => (a.diskId < b.diskId ? -1 : 1))
  }

  onStateChange(listener: StateListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  raise(disk: Disk, origin: HaltOrigin, halt: Halt): void {
    if (disk.raise(origin, halt)) {
      const { code, nextCommand } = halt
      const fields = { event: 'halted', diskId: disk.diskId, origin, code, nextCommand }
      this.#logger.warn(fields, `${disk.diskId} halted (${code}): ${halt.message}`)
    }
    this.noteState(disk)
  }

  clear(disk: Disk, origin: HaltOrigin): void {
    const halt = disk.haltedBy(origin)
    if (disk.clear(origin) && halt !== null) {
      const fields = { event: 'halt-cleared', diskId: disk.diskId, origin, code: halt.code }
      this.#logger.info(fields, `${disk.diskId} goes on after ${halt.code}`)
    }
    this.noteState(disk)
  }

  /** Tells listeners when the shown state differs from the one they were told before. */
  noteState(disk: Disk): void {
    const { state, code } = stateOf(disk)
    const shown = `${state} ${code ?? ''}`
    if (this.#shownStates.get(disk.diskId) === shown) return
    this.#shownStates.set(disk.diskId, shown)
    for (const listener of this.#listeners) listener(disk)
  }

  /**
   * A checkpoint of the progress nobody waits for. Its failure is no more than a longer way back after a
   * crash; it is counted and shown by a warning.
   */
  async tryCheckpoint(): Promise<void> {
    try {
      await this.checkpoint.commit()
    } catch (error) {
      if (error instanceof AssertionError) throw error
      this.#logger.warn({ event: 'checkpoint-failed', err: error }, 'the checkpoint could not be written')
    }
  }

  /** V3. Where it fails every disk stands HALTED with the reason until a checkpoint succeeds. */
  async checkpointFound(): Promise<void> {
    try {
      await this.checkpoint.commit()
    } catch (error) {
      if (error instanceof AssertionError) throw error
      const { nextCommand } = catalogue.CHECKPOINT_FAILED
      const halt = haltOf(error, { code: 'CHECKPOINT_FAILED', nextCommand, message: '' })
      for (const disk of this.disks.values()) this.raise(disk, 'checkpoint', halt)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tryCheckpoint()
    await this.journal[Symbol.asyncDispose]()
    await this.index[Symbol.asyncDispose]()
    await this.#slots.close()
  }

  /** One consistent view of everything durable: taken without an await between (A3). */
  #snapshot(): { readonly record: Buffer; readonly written: () => Promise<void> } {
    const end = this.journal.durableThrough
    let replayFrom = end
    for (const disk of this.disks.values()) {
      replayFrom = Math.min(replayFrom, disk.frames.first?.lsn ?? end)
    }
    const { topicId, cursors } = this
    const disks = [...this.disks.values()].map((disk) => checkpointOf(disk, end))
    const record = encodeCheckpoint({ topicId, cursors: new Map(cursors), replayFrom, disks })
    this.#checkpointBytes = record.length
    const bytesMax = this.checkpointBytesMax
    if (record.length > bytesMax)
      throw checkpointTooLarge({ bytes: record.length, bytesMax, disks: disks.length })
    return {
      record,
      written: async () => {
        await this.journal.deleteBefore(replayFrom)
        for (const disk of this.disks.values()) {
          if (disk.haltedBy('checkpoint') !== null) this.clear(disk, 'checkpoint')
        }
      },
    }
  }
}

function checkpointOf(disk: Disk, end: number): CheckpointBody['disks'][number] {
  return {
    diskId: disk.diskId,
    descriptor: disk.descriptor,
    owner: disk.owner,
    applied: disk.applied,
    writingThrough: disk.writingThrough,
    resyncing: disk.resyncing,
    appliedCapturedAtMs: disk.appliedCapturedAtMs,
    openableAsOfMs: disk.openableAsOfMs,
    cut: disk.cut,
    identity: disk.identity,
    replayFrom: disk.frames.first?.lsn ?? end,
    stamps: disk.received.stamps,
    // A disk that was left in Kafka before its first set has no other partition yet.
    kafkaPartition: disk.kafkaPartition ?? disk.parked?.kafkaPartition ?? null,
    appliedKafkaOffset: disk.appliedKafkaOffset,
    parkedFrom: disk.parked?.fromKafkaOffset ?? null,
    base: disk.base,
    source: disk.source === null ? null : rememberedOf(disk.source),
  }
}

function rememberedOf(source: SourceView): RememberedSource {
  const { arrivedMonotonicMs: _, ...remembered } = source
  return remembered
}
