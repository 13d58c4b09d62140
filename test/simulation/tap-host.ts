import { assert, codeOf } from '@blockferry/runtime'
import {
  localPublishedLength,
  MemorySegmentDirectory,
  openMemorySegmentLog,
  openSegmentFollowerOn,
} from '@blockferry/segment-log'
import type { PublishedLength } from '@blockferry/segment-log'
import { MemoryMedium, MemorySlotMedium, openControlSlots, openMemoryDevice } from '@blockferry/storage'
import {
  createShipper,
  localBell,
  type ShipperListener,
  type SpoolSource,
  StampStore,
  TapAgent,
} from '@blockferry/tap-agent'
import type { Shipper, TapDiskDeps, TapDiskOptions } from '@blockferry/tap-agent'
import type { Host } from './host.ts'
import { diskLatency, type Kernel, type SimulatedProcess } from './kernel.ts'
import { seededRandom } from './seeded-random.ts'
import { recordingLog, StreamRecord } from './stream-record.ts'
import type { World } from './world.ts'

interface SourceDisk {
  readonly medium: MemoryMedium
  readonly spool: MemorySegmentDirectory
  readonly slots: MemorySlotMedium
  readonly record: StreamRecord
}

const slotBytes = 8_192

/** Messages between two threads of one process: later, in order. */
class Channel {
  readonly #kernel: Kernel
  readonly #process: SimulatedProcess
  #tail: Promise<void> = Promise.resolve()

  constructor(kernel: Kernel, process: SimulatedProcess) {
    this.#kernel = kernel
    this.#process = process
  }

  post(deliver: () => void): void {
    this.#tail = this.#tail.then(async () => {
      await this.#kernel.step(this.#process)
      deliver()
    })
  }
}

/** The tap agent and its host's disks. */
export class TapHost implements Host {
  readonly name = 'tap'
  readonly disks = new Map<string, SourceDisk>()
  readonly #world: World
  readonly #stamps = new MemorySlotMedium()
  #process: SimulatedProcess | null = null
  #shipper: Shipper | null = null
  #booted = false
  #stopping = false
  /** Null until it serves. */
  agent: TapAgent | null = null
  /** Codes with which disks went AHEAD. */
  readonly aheadCodes = new Set<string>()
  /** Called at the death of an incarnation: connections break. */
  onDown: () => void = () => {}
  /** Requests that are not answered yet: the NBD server waits for them when it stops. */
  requestsTaken: () => number = () => 0
  /** Pieces that a guest's write is split into, by its tag. */
  piecesOf: (tag: number) => number = () => 1

  constructor(world: World) {
    this.#world = world
    for (const { diskId, sizeBytes } of world.scenario.disks) {
      const record = new StreamRecord(diskId, sizeBytes)
      const disk = {
        medium: new MemoryMedium(),
        spool: new MemorySegmentDirectory(),
        slots: new MemorySlotMedium(),
        record,
      }
      this.disks.set(diskId, disk)
    }
  }

  get isUp(): boolean {
    return this.#process?.alive === true
  }

  /** The process that guests talk to; null while there is none, or it takes no connections. */
  get serving(): { readonly process: SimulatedProcess; readonly agent: TapAgent } | null {
    if (this.#process === null || this.agent === null || !this.#booted || this.#stopping) return null
    return { process: this.#process, agent: this.agent }
  }

  sourceOf(diskId: string): Buffer {
    const disk = this.#disk(diskId)
    const bytes = Buffer.alloc(disk.record.sizeBytes)
    disk.medium.read(0, bytes)
    return bytes
  }

  start(): void {
    const process = this.#world.kernel.process(this.name)
    this.#process = process
    this.#booted = false
    this.#stopping = false
    this.#world.run(process, () => this.#boot(process))
  }

  async #boot(process: SimulatedProcess): Promise<void> {
    const { kernel, scenario } = this.#world
    const step = kernel.stepper(process, diskLatency)
    const random = seededRandom(kernel.random.uint32())
    const slots = await openControlSlots({ file: this.#stamps.open(step), slotBytes })
    const stamps = await StampStore.open(slots, random)
    const published = new Map([...this.disks.keys()].map((diskId) => [diskId, localPublishedLength()]))
    const bell = localBell()
    const parts = { process, step, random, published }
    const shipper = this.#shipperOf({ ...parts, bell, agentId: stamps.newest.agentId })
    this.#shipper = shipper
    const channel = new Channel(kernel, process)
    const handle: Pick<Shipper, 'attach' | 'detach' | 'mint' | 'beat'> = {
      attach: (attachment) => channel.post(() => shipper.attach(attachment)),
      detach: (diskId) => channel.post(() => shipper.detach(diskId)),
      beat: (statuses, stamp) => channel.post(() => shipper.beat(statuses, stamp)),
      mint: async (request) => {
        await kernel.step(process)
        return shipper.mint(request)
      },
    }
    const options = scenario.disks.map(({ diskId, groupId }) => this.#optionsOf(diskId, groupId))
    const agent = new TapAgent(
      {
        clock: kernel.clock(process),
        random,
        bootId: 'boot',
        stamps,
        storageOf: ({ diskId }) => this.#storageOf(diskId, parts),
        observer: this.#observer(process),
      },
      { disks: options, cutIntervalMs: scenario.tap.cutIntervalMs },
      { shipper: handle, bell },
    )
    this.agent = agent
    await agent.start()
    if (process.alive) this.#booted = true
  }

  #optionsOf(diskId: string, groupId: string | null): TapDiskOptions {
    const { segmentBytes, spoolBytesMax } = this.#world.scenario.tap
    return { diskId, groupId, provisioning: 'thin', segmentBytes, spoolBytesMax }
  }

  #shipperOf(parts: {
    readonly process: SimulatedProcess
    readonly step: () => Promise<void>
    readonly random: ReturnType<typeof seededRandom>
    readonly published: ReadonlyMap<string, PublishedLength>
    readonly bell: ReturnType<typeof localBell>
    readonly agentId: string
  }): Shipper {
    const { bell, process, random } = parts
    const { clusterA, kernel, scenario } = this.#world
    const channel = new Channel(kernel, process)
    const tell = (deliver: (agent: TapAgent) => void) =>
      channel.post(() => {
        if (this.agent !== null) deliver(this.agent)
      })
    const listener: ShipperListener = {
      shipped: (...told) => tell((agent) => agent.shipped(...told)),
      received: (...told) => tell((agent) => agent.received(...told)),
      kafka: (...told) => tell((agent) => agent.kafka(...told)),
      resync: (...told) => tell((agent) => agent.resync(...told)),
      skew: (...told) => tell((agent) => agent.skew(...told)),
      trouble: (...told) => tell((agent) => agent.trouble(...told)),
    }
    return createShipper(
      {
        clock: kernel.clock(process),
        random,
        connect: () => Promise.resolve(clusterA.connect({ clientId: this.#world.clientOf(process) })),
        openSpool: (diskId) => this.#openSource(diskId, parts),
        bell,
        listener,
      },
      {
        agentId: parts.agentId,
        site: 'site-a',
        peerSite: 'site-b',
        partitions: scenario.kafkaPartitions,
        batchBytesMax: 1 << 20,
        lingerMs: 2,
      },
    )
  }

  async #openSource(
    diskId: string,
    parts: { readonly step: () => Promise<void>; readonly published: ReadonlyMap<string, PublishedLength> },
  ): Promise<SpoolSource> {
    const published = parts.published.get(diskId)
    assert(published !== undefined, 'every disk publishes its length')
    const follower = await openSegmentFollowerOn(this.#disk(diskId).spool.open(parts.step), published)
    return {
      firstLsn: () => follower.firstLsn(),
      publishedLsn: () => published.load(),
      reader: (lsn) => follower.reader(lsn),
      segmentBytes: this.#world.scenario.tap.segmentBytes,
    }
  }

  #storageOf(
    diskId: string,
    parts: {
      readonly step: () => Promise<void>
      readonly random: ReturnType<typeof seededRandom>
      readonly published: ReadonlyMap<string, PublishedLength>
    },
  ): Pick<TapDiskDeps, 'openDevice' | 'openSpool' | 'openSlots'> {
    const { random, step } = parts
    const { medium, record, slots, spool } = this.#disk(diskId)
    const { segmentBytes, spoolBytesMax: bytesMax } = this.#world.scenario.tap
    const published = parts.published.get(diskId) ?? localPublishedLength()
    const log = {
      directory: spool,
      limits: { segmentBytes, bytesMax },
      random,
      tear: random,
      step,
      published,
    }
    return {
      openDevice: () => Promise.resolve(openMemoryDevice({ medium, sizeBytes: record.sizeBytes, step })),
      openSlots: () => openControlSlots({ file: slots.open(step), slotBytes }),
      openSpool: async (scanFrom) => {
        const opened = await openMemorySegmentLog(scanFrom === undefined ? log : { ...log, scanFrom })
        return { ...opened, log: recordingLog(opened.log, (bodies) => record.take(bodies, this.piecesOf)) }
      },
    }
  }

  #observer(process: SimulatedProcess) {
    const note = (text: string) => {
      if (process.alive) this.#world.journal.note(this.name, text)
    }
    return {
      stateChanged: (change: { diskId: string; state: string; code: string | null }) => {
        if (process.alive && change.state === 'AHEAD') this.aheadCodes.add(change.code ?? '')
        note(`${change.diskId} ${change.state} ${change.code ?? ''}`)
      },
      readBack: (diskId: string, extents: number) => note(`${diskId} reads back ${extents} extents`),
      resyncBegan: (diskId: string, generation: { number: number }) =>
        note(`${diskId} begins generation ${generation.number}`),
      resyncDone: (diskId: string) => note(`${diskId} resync done`),
      diskRefused: (refused: { diskId: string; code: string; message: string }) => {
        if (process.alive)
          this.#world.fail(this.name, new Error(`${refused.diskId} refused: ${refused.message}`))
      },
      trouble: (diskId: string, error: unknown) =>
        note(`${diskId} trouble ${codeOf(error)}: ${String(error)}`),
      cut: (point: { cutId: string; groupId: string | null; members: readonly string[] }, isWhole: boolean) =>
        note(`cut ${point.cutId.slice(0, 6)} of ${point.members.join('+')} ${isWhole ? '' : 'void'}`),
    }
  }

  kill(): void {
    const process = this.#process
    if (process === null) return
    this.#down(process)
    this.#stamps.crash({ loseUnflushed: false })
    for (const { medium, slots, spool } of this.disks.values()) {
      for (const part of [medium, slots, spool]) part.crash({ loseUnflushed: false })
    }
  }

  #down(process: SimulatedProcess): void {
    this.#world.kernel.kill(process)
    void this.#world.clusterA.crashClient(this.#world.clientOf(process))
    this.#process = null
    this.agent = null
    this.#shipper = null
    this.onDown()
  }

  /** Orderly: the NBD server goes first, and with it the guests' connections. */
  stop(): void {
    const { agent } = this
    const shipper = this.#shipper
    const process = this.#process
    if (agent === null || shipper === null || process === null || !this.#booted || this.#stopping) return
    this.#stopping = true
    this.#world.run(process, async () => {
      while (this.requestsTaken() > 0) await this.#world.kernel.step(process, 1)
      await agent.close()
      await shipper.stop()
      if (!process.alive) return
      this.#down(process)
      this.#world.journal.note(this.name, 'stopped')
    })
  }

  pause(paused: boolean): void {
    if (this.#process !== null) this.#process.paused = paused
  }

  #disk(diskId: string): SourceDisk {
    const disk = this.disks.get(diskId)
    assert(disk !== undefined, `${diskId} is a disk of this scenario`)
    return disk
  }
}
