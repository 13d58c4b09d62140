import type { Heartbeat, HeartbeatDisk, StreamRequest, UpdateSet } from '@blockferry/disk-stream'
import {
  createMemoryCluster,
  type MemoryCluster,
  type ReplicationLog,
  siteTopicSpecs,
  type TopicSpec,
} from '@blockferry/replication-log'
import {
  decodeRecord,
  encodeDiskDescriptor,
  encodeHeartbeat,
  encodeUpdateSet,
  unpackPayloadSync,
} from '@blockferry/schemas'
import { MemorySegmentDirectory, openMemorySegmentLog, type SegmentFaultPlan } from '@blockferry/segment-log'
import { MemoryMedium, MemorySlotMedium, openControlSlots, openMemoryDevice } from '@blockferry/storage'
import type { BlockDevice, SlotFile } from '@blockferry/storage'
import { type Clock, KiB, MiB } from '@blockferry/runtime'
import { type Applier, createApplier } from '../src/applier.ts'
import { applierFault } from '../src/faults.ts'
import type { ApplierOptions } from '../src/options.ts'
import type { ApplierDeps } from '../src/ports.ts'
import { TestSource } from './test-source.ts'
import { Process, seededRandom, VirtualTime } from './virtual-time.ts'

export const diskBytes = 64 * KiB
const updates = { topic: 'site-a.updates', kafkaPartition: 0 }

/** What survives the applier: Kafka B, the images, the state directory. */
export class TargetWorld {
  readonly time = new VirtualTime()
  readonly random = seededRandom(7)
  readonly cluster: MemoryCluster
  readonly sources = new Map<string, TestSource>()
  readonly images = new Map<string, MemoryMedium>()
  readonly journal = new MemorySegmentDirectory()
  readonly index = new MemorySegmentDirectory()
  readonly slots = new MemorySlotMedium()
  readonly options: Partial<ApplierOptions>
  readonly log: string[] = []
  /** Wraps a target device, to make it fail. */
  wrapDevice: (device: BlockDevice, diskId: string) => BlockDevice = (device) => device
  /** Wraps a client of Kafka B, to make it fail. */
  wrapLog: (log: ReplicationLog, clock: Clock) => ReplicationLog = (log) => log
  /** Makes the redo journal's files fail. */
  journalFaults: SegmentFaultPlan = () => null
  /** Wraps the checkpoint's file, to make it fail. */
  wrapSlots: (file: SlotFile) => SlotFile = (file) => file
  /** Disks that have no target at this applier. */
  readonly foreign = new Set<string>()
  refuseImage: string | null = null
  /** Called when an applier has replayed its journal and has not done anything else yet. */
  afterOpen: () => void = () => {}
  process = new Process()
  applier: Applier | null = null
  readonly #topics: readonly TopicSpec[]
  readonly #partitions = new Map<string, number>()
  #stop = new AbortController()
  #running: Promise<void> = Promise.resolve()
  #session = 0
  journalBytesMax = 16 * MiB
  slotBytes = 16 * KiB

  constructor(
    options: Partial<ApplierOptions> = {},
    kafka: { readonly partitions: number } = { partitions: 1 },
  ) {
    this.options = options
    this.#topics = siteTopicSpecs({ site: 'site-b', peerSite: 'site-a', partitions: kafka.partitions })
    this.cluster = createMemoryCluster({ clock: this.time.clockOf(new Process()) })
    for (const spec of this.#topics) this.cluster.createTopic(spec)
  }

  /** Somebody deletes the mirrored updates; and, unless told otherwise, they are made again at once, empty. */
  wipeUpdates(options: { readonly again: boolean } = { again: true }): void {
    this.cluster.deleteTopic(updates.topic)
    const spec = this.#topics.find(({ topic }) => topic === updates.topic)
    if (options.again && spec !== undefined) this.cluster.createTopic(spec)
  }

  source(diskId: string, groupId: string | null = null, kafkaPartition = 0): TestSource {
    const source = new TestSource({
      diskId,
      sizeBytes: diskBytes,
      nowMs: () => 1_700_000_000_000 + this.time.nowMs,
    })
    this.sources.set(diskId, source)
    this.images.set(diskId, new MemoryMedium())
    this.#partitions.set(diskId, kafkaPartition)
    this.describe(diskId, groupId)
    return source
  }

  describe(diskId: string, groupId: string | null = null, ownerSite = 'site-a'): void {
    const generation = this.sources.get(diskId)?.generation
    const value = encodeDiskDescriptor({
      diskId,
      formatVersion: 1,
      sizeBytes: diskBytes,
      provisioning: 'thin',
      groupId,
      kafkaPartition: this.#partitions.get(diskId) ?? 0,
      ownerSite,
      generation: generation?.number ?? 1,
      generationId: generation?.id ?? '',
    })
    this.#append({ topic: 'site-a.disks', kafkaPartition: 0 }, diskId, value)
  }

  /** What the mirror carries over. */
  arrive(...sets: readonly UpdateSet[]): void {
    for (const set of sets) {
      const kafkaPartition = this.#partitions.get(set.diskId) ?? 0
      this.#append({ ...updates, kafkaPartition }, set.diskId, encodeUpdateSet(set))
    }
  }

  heartbeat(...disks: readonly HeartbeatDisk[]): void {
    this.heartbeatWith({}, ...disks)
  }

  /** A heartbeat that was sent at another time, by another agent or with a known skew. */
  heartbeatWith(given: Partial<Heartbeat>, ...disks: readonly HeartbeatDisk[]): void {
    const value = encodeHeartbeat({
      agentId: 'agent',
      site: 'site-a',
      sourceTimeMs: 1_700_000_000_000 + this.time.nowMs,
      stamp: { agentId: 'agent', counter: 1 },
      clockSkew: null,
      disks,
      resumeInputOffset: 0n,
      ...given,
    })
    this.#append(updates, 'agent', value)
  }

  #append(partition: { topic: string; kafkaPartition: number }, key: string, value: Buffer): void {
    this.#session += 1
    const record = { key: Buffer.from(key, 'utf8'), value }
    this.cluster.appendBatch(partition, { session: `test-${this.#session}`, sequence: 0, records: [record] })
  }

  /** The requests that the applier wrote, oldest first. */
  requests(): readonly StreamRequest[] {
    return this.cluster.records({ topic: 'requests', kafkaPartition: 0 }).map((record) => {
      const any = decodeRecord(record.value)
      if (any.kind !== 'StreamRequest') throw new Error('the topic requests holds requests')
      return any.record
    })
  }

  /** The newest report of a disk's position. */
  reported(diskId: string): { readonly state: string; readonly sequence: number } | null {
    const reports = this.cluster.records({ topic: 'positions', kafkaPartition: 0 })
    const newest = reports.findLast((record) => record.key?.toString() === diskId)
    const any = newest === undefined ? null : decodeRecord(newest.value)
    if (any?.kind !== 'PositionReport') return null
    return { state: any.record.state, sequence: any.record.received?.sequence ?? 0 }
  }

  /** Every `received` ever reported of a disk. */
  everyReceived(diskId: string): readonly string[] {
    return this.cluster.records({ topic: 'positions', kafkaPartition: 0 }).flatMap((record) => {
      const any = decodeRecord(record.value)
      if (any.kind !== 'PositionReport' || any.record.diskId !== diskId || any.record.received === null)
        return []
      return [`${any.record.received.generation}.${any.record.received.sequence}`]
    })
  }

  deps(process: Process): ApplierDeps {
    const { step } = process
    const { random } = this
    const clock = this.time.clockOf(process)
    const limits = { segmentBytes: 64 * KiB, bytesMax: this.journalBytesMax }
    const faults: SegmentFaultPlan = (operation) => this.journalFaults(operation)
    return {
      clock,
      random,
      connectLog: async () => this.wrapLog(this.cluster.connect({ clientId: 'applier' }), clock),
      topics: this.#topics,
      openJournal: (place) =>
        openMemorySegmentLog({ directory: this.journal, limits, random, step, faults, ...place }),
      openIndex: (place) =>
        openMemorySegmentLog({
          directory: this.index,
          limits: { segmentBytes: 16 * KiB, bytesMax: 1 * MiB },
          random,
          step,
          ...place,
        }),
      openCheckpoint: () =>
        openControlSlots({ file: this.wrapSlots(this.slots.open(step)), slotBytes: this.slotBytes }),
      targets: {
        pathOf: (diskId) => (this.foreign.has(diskId) ? null : `memory/${diskId}`),
        open: async ({ diskId, sizeBytes, expected }) => {
          if (this.refuseImage !== null) throw applierFault('IMAGE_OF_OTHER_DISK', this.refuseImage)
          const medium = this.images.get(diskId)
          if (medium === undefined) throw applierFault('TARGET_NOT_CONFIGURED', diskId)
          const device = this.wrapDevice(openMemoryDevice({ medium, sizeBytes, step }), diskId)
          const identity = expected ?? { imageId: diskId, fileId: '1:1' }
          return { device, identity, path: `memory/${diskId}`, [Symbol.asyncDispose]: () => device.close() }
        },
      },
      unpack: async (set) => unpackPayloadSync(set),
      logger: {
        info: (fields, message) => this.#note('info', message, fields),
        warn: (fields, message) => this.#note('warn', message, fields),
        error: (fields, message) => this.#note('error', message, fields),
      },
    }
  }

  #note(level: string, message: string, fields: object): void {
    this.log.push(`${this.time.nowMs} ${level} ${message} ${'err' in fields ? String(fields.err) : ''}`)
  }

  /** Starts an applier; the process dies after so many steps, when given. */
  async start(stepsLeft = Infinity): Promise<void> {
    const process = new Process()
    process.stepsLeft = stepsLeft
    this.process = process
    this.applier = null
    this.#stop = new AbortController()
    const { signal } = this.#stop
    this.#running = (async () => {
      const applier = await createApplier(this.deps(process), this.options)
      this.applier = applier
      this.afterOpen()
      await applier.run(signal)
      await applier[Symbol.asyncDispose]()
    })()
    // A test that breaks an invariant of the applier on purpose looks at the promise itself.
    this.#running.catch((error: unknown) => this.log.push(`broken: ${String(error)}`))
    while (process.alive && this.applier === null && !this.log.at(-1)?.startsWith('broken'))
      await this.time.advance()
  }

  get live(): Applier {
    if (this.applier === null) throw new Error(`the applier is not up\n${this.log.join('\n')}`)
    return this.applier
  }

  /** Orderly stop. */
  async stop(): Promise<void> {
    this.#stop.abort()
    let ended = false
    void this.#running.finally(() => {
      ended = true
    })
    await this.time.until(() => ended, `the applier to stop\n${this.log.slice(-5).join('\n')}`)
  }

  /** kill -9; with `power` the host loses what was not synced, too. */
  crash(power = false): void {
    this.process.alive = false
    this.#stop = new AbortController()
    const loss = { loseUnflushed: power ? this.random : false } as const
    this.journal.crash(loss)
    this.index.crash(loss)
    this.slots.crash(loss)
    for (const medium of this.images.values()) medium.crash(loss)
    void this.cluster.crashClient('applier')
  }

  imageOf(diskId: string): Buffer {
    const bytes = Buffer.alloc(diskBytes)
    this.images.get(diskId)?.read(0, bytes)
    return bytes
  }

  /** What the source held at the position that the applier claims of its image. */
  claimed(diskId: string): Buffer | null {
    const applied = this.live.volume.disk(diskId).applied.applied
    const source = this.sources.get(diskId)
    if (applied === null || source === undefined) return null
    return source.imageAt.get(`${applied.generation}.${applied.sequence}`) ?? null
  }

  drained(diskId: string): boolean {
    const disk = this.applier?.volume.disk(diskId)
    const source = this.sources.get(diskId)?.position
    const applied = disk?.applied.applied
    return applied?.generation === source?.generation && applied?.sequence === source?.sequence
  }
}
