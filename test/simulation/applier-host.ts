import { type Applier, type ApplierDeps, type ApplierOptions, createApplier } from '@blockferry/applier'
import { siteTopicSpecs } from '@blockferry/replication-log'
import { KiB, MiB } from '@blockferry/runtime'
import { unpackPayloadSync } from '@blockferry/schemas'
import {
  MemorySegmentDirectory,
  openMemorySegmentLog,
  type SegmentFailure,
  type SegmentOperation,
} from '@blockferry/segment-log'
import { MemoryMedium, MemorySlotMedium, openControlSlots, openMemoryDevice } from '@blockferry/storage'
import { errorOf } from './aggregator-host.ts'
import type { Host } from './host.ts'
import { diskLatency, type SimulatedProcess } from './kernel.ts'
import { seededRandom } from './seeded-random.ts'
import type { World } from './world.ts'

/** The applier and its host's disks: images, redo journal, index, checkpoint. */
export class ApplierHost implements Host {
  readonly name = 'applier'
  readonly images = new Map<string, MemoryMedium>()
  readonly #world: World
  readonly #journal = new MemorySegmentDirectory()
  readonly #index = new MemorySegmentDirectory()
  readonly #slots = new MemorySlotMedium()
  #process: SimulatedProcess | null = null
  #stop = new AbortController()
  #journalFailure: { readonly operation: SegmentOperation; readonly failure: SegmentFailure } | null = null
  /** Null until it has opened its volume. */
  applier: Applier | null = null
  /** Called when a new incarnation has opened its volume, before it runs. */
  onOpened: () => void = () => {}

  constructor(world: World) {
    this.#world = world
    for (const { diskId } of world.scenario.disks) this.images.set(diskId, new MemoryMedium())
  }

  get isUp(): boolean {
    return this.#process?.alive === true
  }

  imageOf(diskId: string, sizeBytes: number): Buffer {
    const bytes = Buffer.alloc(sizeBytes)
    this.images.get(diskId)?.read(0, bytes)
    return bytes
  }

  start(): void {
    const { kernel } = this.#world
    const process = kernel.process(this.name)
    this.#process = process
    this.applier = null
    const stop = this.#world.stopSignal()
    this.#stop = stop
    this.#world.run(process, async () => {
      const applier = await createApplier(this.#deps(process), this.#options())
      if (!process.alive) return
      this.applier = applier
      this.onOpened()
      await applier.run(stop.signal)
      await applier[Symbol.asyncDispose]()
      if (!process.alive) return
      this.#down(process)
      this.#world.journal.note(this.name, 'stopped')
    })
  }

  kill(options: { readonly power?: boolean } = {}): void {
    const process = this.#process
    if (process === null) return
    this.#down(process)
    const loss =
      options.power === true
        ? { loseUnflushed: this.#world.kernel.random }
        : ({ loseUnflushed: false } as const)
    this.#journal.crash(loss)
    this.#index.crash(loss)
    this.#slots.crash(loss)
    for (const image of this.images.values()) image.crash(loss)
  }

  #down(process: SimulatedProcess): void {
    this.#world.kernel.kill(process)
    void this.#world.clusterB.crashClient(this.#world.clientOf(process))
    this.#process = null
    this.applier = null
  }

  /** The next such call on the redo journal's files fails, once. */
  failJournalOnce(operation: SegmentOperation, failure: SegmentFailure): void {
    this.#journalFailure = { operation, failure }
  }

  stop(): void {
    this.#stop.abort()
  }

  pause(paused: boolean): void {
    if (this.#process !== null) this.#process.paused = paused
  }

  #options(): Partial<ApplierOptions> {
    const { applyIntervalMs, journalBytesMax } = this.#world.scenario.applier
    return {
      applyIntervalMs,
      journalBytesMax,
      journalDiskBytesMax: journalBytesMax / 4,
      journalCopyForwardBytes: journalBytesMax / 2,
      retryMsMax: 500,
      idleCheckpointMs: 2_000,
      ownerWaitMs: 3_000,
      overdueMs: 4_000,
      resendDeadlineMs: 5_000,
      resyncRepeatMs: 8_000,
    }
  }

  #deps(process: SimulatedProcess): ApplierDeps {
    const { clusterB, kernel, scenario } = this.#world
    const step = kernel.stepper(process, diskLatency)
    const tear = seededRandom(kernel.random.uint32())
    const random = seededRandom(kernel.random.uint32())
    const { journalBytesMax: bytesMax, journalLatency, journalSegmentBytes: segmentBytes } = scenario.applier
    const journalStep = kernel.stepper(process, journalLatency)
    const journal = {
      directory: this.#journal,
      limits: { segmentBytes, bytesMax },
      random,
      step: journalStep,
      tear,
      faults: (operation: SegmentOperation) => this.#takeJournalFailure(operation),
    }
    const index = { segmentBytes: 64 * KiB, bytesMax: 4 * MiB }
    return {
      clock: kernel.clock(process),
      random,
      connectLog: () => Promise.resolve(clusterB.connect({ clientId: this.#world.clientOf(process) })),
      topics: siteTopicSpecs({
        site: 'site-b',
        peerSite: 'site-a',
        partitions: scenario.kafkaPartitions,
      }),
      openJournal: (place) => openMemorySegmentLog({ ...journal, ...place }),
      openIndex: (place) =>
        openMemorySegmentLog({ directory: this.#index, limits: index, random, step, tear, ...place }),
      openCheckpoint: () => openControlSlots({ file: this.#slots.open(step), slotBytes: 64 * KiB }),
      targets: this.#targets(step),
      unpack: (set) => Promise.resolve(unpackPayloadSync(set)),
      logger: this.#logger(process),
    }
  }

  #takeJournalFailure(operation: SegmentOperation): SegmentFailure | null {
    const planned = this.#journalFailure
    // One that fails while it opens its volume ends with that; its supervisor's work is not simulated.
    if (this.applier === null || planned?.operation !== operation) return null
    this.#journalFailure = null
    this.#world.journal.note(this.name, `the journal's ${operation} fails: ${planned.failure.code}`)
    return planned.failure
  }

  #targets(step: () => Promise<void>): ApplierDeps['targets'] {
    return {
      pathOf: (diskId) => `memory/${diskId}`,
      open: ({ diskId, expected, sizeBytes }) => {
        const device = openMemoryDevice({
          medium: this.images.get(diskId) ?? new MemoryMedium(),
          sizeBytes,
          step,
        })
        const identity = expected ?? { imageId: diskId, fileId: '1:1' }
        const close = () => device.close()
        return Promise.resolve({ device, identity, path: `memory/${diskId}`, [Symbol.asyncDispose]: close })
      },
    }
  }

  #logger(process: SimulatedProcess): ApplierDeps['logger'] {
    const note = (fields: Readonly<Record<string, unknown>>, text: string): void => {
      if (process.alive) this.#world.journal.note(this.name, `${text} ${errorOf(fields)}`)
    }
    return { info: note, warn: note, error: note }
  }
}
