import { type PositionReport, type StreamRequest, type WriteGroup } from '@blockferry/disk-stream'
import { assert, Fault, KiB, MiB } from '@blockferry/runtime'
import {
  MemoryCluster,
  type OutgoingRecord,
  remoteTopic,
  siteTopicSpecs,
  topicNames,
} from '@blockferry/replication-log'
import {
  faultySegmentFiles,
  localPublishedLength,
  MemorySegmentDirectory,
  openSegmentFollowerOn,
  openSegmentLogOn,
  type PublishedLength,
  type SegmentFaultPlan,
  type SegmentFiles,
} from '@blockferry/segment-log'
import { decodeRecord, encodePositionReport, encodeStreamRequest } from '@blockferry/schemas'
import { MemoryMedium, MemorySlotMedium, openControlSlots, openMemoryDevice } from '@blockferry/storage'
import { StampStore } from '../agent/stamp-store.ts'
import { TapAgent } from '../agent/tap-agent.ts'
import type { TapDisk } from '../disk/tap-disk.ts'
import { localBell } from '../shipper/bell.ts'
import { createShipper, type Shipper } from '../shipper/shipper.ts'
import type { VolumeSpace } from '../spool/host-spool.ts'
import type { Bell, ShipperListener } from '../shipper/shipper-ports.ts'
import { type Replayed, replayGroups } from './replay-groups.ts'
import { Life, World } from './world.ts'

const segmentBytes = 512 * KiB

interface Media {
  readonly disk: MemoryMedium
  readonly spool: MemorySegmentDirectory
  readonly slots: MemorySlotMedium
}

interface Link {
  readonly bell: Bell
  readonly stamps: StampStore
  readonly published: (diskId: string) => PublishedLength
}

function fail(): never {
  throw new Error('the disk is not one of the bench')
}

/** A whole agent with its shipper on a memory cluster; its media and the cluster outlive its incarnations. */
export class AgentBench {
  readonly world: World
  readonly cluster: MemoryCluster
  readonly sizeBytes = 256 * KiB
  readonly spoolBytesMax: number
  readonly volumeBytes: number
  /** True while no source can be opened. */
  sourceAway = false
  /** Taken of the volume by others. */
  foreignBytes = 0
  readonly stampSlots = new MemorySlotMedium()
  readonly #media = new Map<string, Media>()
  readonly #outside = new Life()
  /** Passed by every append and sync of a disk's spool: it may hold them. */
  spoolGate: (diskId: string) => Promise<void> = () => Promise.resolve()
  life = new Life()
  agent: TapAgent | null = null
  shipper: Shipper | null = null
  /** Asked before each call on a spool's files: how the state volume fails. */
  spoolFault: SegmentFaultPlan = () => null
  /** Hears what disks tell of trouble. */
  onTrouble: (diskId: string, error: unknown) => void = () => {}
  readonly #groupId: string | null
  #remote = 0

  constructor(
    seed: number,
    options: {
      readonly diskIds: readonly string[]
      readonly spoolBytesMax?: number
      /** Of all disks; without it each is alone. */
      readonly groupId?: string
      /** Of the volume that all spools lie on; no limit when not given. */
      readonly volumeBytes?: number
    },
  ) {
    this.world = new World(seed)
    this.#groupId = options.groupId ?? null
    this.spoolBytesMax = options.spoolBytesMax ?? 32 * MiB
    this.volumeBytes = options.volumeBytes ?? Infinity
    this.cluster = new MemoryCluster({
      clock: this.world.clock(this.#outside),
      step: () => this.world.step(this.life),
    })
    for (const diskId of options.diskIds) {
      const media = {
        disk: new MemoryMedium(),
        spool: new MemorySegmentDirectory(),
        slots: new MemorySlotMedium(),
      }
      this.#media.set(diskId, media)
    }
  }

  async start(): Promise<TapAgent> {
    this.life = new Life()
    const { world } = this
    const published = new Map([...this.#media.keys()].map((diskId) => [diskId, localPublishedLength()]))
    const slots = openControlSlots({
      file: this.stampSlots.open(this.#stepper()),
      slotBytes: 8 * KiB,
      whenLost: 'begin-anew',
    })
    const stamps = await world.settle(slots.then((opened) => StampStore.open(opened, world.random)))
    const link = { bell: localBell(), stamps, published: (diskId: string) => published.get(diskId) ?? fail() }
    const shipper = this.#createShipper(link)
    const agent = this.#createAgent({ ...link, shipper })
    this.agent = agent
    this.shipper = shipper
    await world.settle(agent.start(), 'the agent’s start')
    return agent
  }

  #stepper(): () => Promise<void> {
    const { life, world } = this
    return () => world.step(life)
  }

  #createShipper(link: Link): Shipper {
    const { life, world } = this
    const step = this.#stepper()
    return createShipper(
      {
        clock: world.clock(life),
        random: world.random,
        bell: link.bell,
        connect: async () => this.cluster.connect({ clientId: 'tap' }),
        openSpool: async (diskId) => {
          const length = link.published(diskId)
          const follower = await openSegmentFollowerOn(this.media(diskId).spool.open(step), length)
          return {
            segmentBytes,
            firstLsn: () => follower.firstLsn(),
            publishedLsn: () => length.load(),
            reader: (lsn) => follower.reader(lsn),
          }
        },
        listener: this.#listener(),
      },
      {
        agentId: link.stamps.newest.agentId,
        site: 'site-a',
        peerSite: 'site-b',
        partitions: 2,
        batchBytesMax: 1 * MiB,
        lingerMs: 2,
      },
    )
  }

  /** Late: the agent is made after its shipper. */
  #listener(): ShipperListener {
    return {
      shipped: (diskId, hint) => this.agent?.shipped(diskId, hint),
      received: (diskId, position) => this.agent?.received(diskId, position),
      kafka: (kafkaPartition, code) => this.agent?.kafka(kafkaPartition, code),
      resync: (diskId, request) => this.agent?.resync(diskId, request),
      skew: (skew) => this.agent?.skew(skew),
      trouble: (error) => this.agent?.trouble(error),
    }
  }

  #createAgent(link: Link & { readonly shipper: Shipper }): TapAgent {
    const { life, world } = this
    const step = this.#stepper()
    const limits = { segmentBytes, bytesMax: this.spoolBytesMax }
    const storageOf = ({ diskId }: { readonly diskId: string }) => {
      const { disk, slots, spool } = this.media(diskId)
      const published = link.published(diskId)
      return {
        openDevice: async () => {
          if (this.sourceAway) throw new Fault('SOURCE_MISSING', 'no such source')
          return openMemoryDevice({ sizeBytes: this.sizeBytes, medium: disk, step })
        },
        openSlots: () =>
          openControlSlots({ file: slots.open(step), slotBytes: 8 * KiB, whenLost: 'begin-anew' }),
        openSpool: async () => {
          const files = faultySegmentFiles(this.#onVolume(spool.open(step)), (operation) =>
            this.spoolFault(operation),
          )
          const opened = await openSegmentLogOn(files, { limits, random: world.random, published })
          const { log } = opened
          const [append, sync] = [log.append.bind(log), log.sync.bind(log)]
          log.append = (bodies) => this.spoolGate(diskId).then(() => append(bodies))
          log.sync = () => this.spoolGate(diskId).then(sync)
          return opened
        },
      }
    }
    const disks = [...this.#media.keys()].map((diskId) => ({
      diskId,
      groupId: this.#groupId,
      provisioning: 'thin' as const,
      segmentBytes,
      spoolBytesMax: this.spoolBytesMax,
    }))
    const { bell, shipper, stamps } = link
    const clock = world.clock(life)
    const observer = { trouble: (diskId: string, error: unknown) => this.onTrouble(diskId, error) }
    const deps = { clock, random: world.random, bootId: 'boot-1', stamps, storageOf, observer }
    const volume = this.volumeBytes === Infinity ? {} : { volume: () => this.#volume() }
    return new TapAgent({ ...deps, ...volume }, { disks, cutIntervalMs: 1_000 }, { shipper, bell })
  }

  /** Segments that the spools hold now, in bytes. */
  get spoolsBytes(): number {
    return [...this.#media.values()].reduce((sum, { spool }) => sum + spool.usedBytes, 0)
  }

  /** The spools share one volume. */
  #onVolume(files: SegmentFiles): SegmentFiles {
    return {
      ...files,
      create: (name, byteLength) => {
        const isFull = this.spoolsBytes + this.foreignBytes + byteLength > this.volumeBytes
        if (isFull) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
        return files.create(name, byteLength)
      },
    }
  }

  async #volume(): Promise<VolumeSpace> {
    await this.world.step(this.life)
    const freeBytes = this.volumeBytes - this.spoolsBytes - this.foreignBytes
    return { sizeBytes: this.volumeBytes, freeBytes }
  }

  /** As an agent before this one left the cluster. */
  async makeTopics(): Promise<void> {
    const client = this.cluster.connect({ clientId: 'before' })
    const specs = siteTopicSpecs({ site: 'site-a', peerSite: 'site-b', partitions: 2 })
    await this.world.settle(client.ensureTopics(specs))
  }

  media(diskId: string): Media {
    const media = this.#media.get(diskId)
    assert(media !== undefined, 'the disk is one of the bench')
    return media
  }

  /** As its newest descriptor says. */
  kafkaPartitionOf(diskId: string): number {
    const kafkaPartitions = this.cluster
      .records({ topic: topicNames.disks, kafkaPartition: 0 })
      .map(({ value }) => decodeRecord(value))
      .flatMap((each) =>
        each.kind === 'DiskDescriptor' && each.record.diskId === diskId ? [each.record.kafkaPartition] : [],
      )
    return kafkaPartitions.at(-1) ?? fail()
  }

  disk(diskId: string): TapDisk {
    const disk = this.agent?.served.get(diskId)
    assert(disk !== undefined, 'the disk is served')
    return disk
  }

  async until(condition: () => boolean, what: string, decisionsMax?: number): Promise<void> {
    await this.world.until(condition, what, decisionsMax)
  }

  async untilStreaming(diskId: string): Promise<void> {
    await this.until(() => this.disk(diskId).status().state === 'STREAMING', `${diskId} STREAMING`)
  }

  /** Everything the disk numbered is acknowledged by the cluster. */
  async untilShipped(diskId: string): Promise<void> {
    await this.until(() => {
      const { numberedThrough, position, shipped } = this.disk(diskId).status()
      const isSame = shipped?.generationId === position?.generationId
      return isSame && position?.sequence === numberedThrough && shipped?.sequence === position.sequence
    }, `${diskId} shipped`)
  }

  async kill(): Promise<void> {
    this.world.kill(this.life)
    for (const { disk, slots, spool } of this.#media.values()) {
      for (const part of [disk, slots, spool]) part.crash({ loseUnflushed: false })
    }
    this.stampSlots.crash({ loseUnflushed: false })
    await this.cluster.crashClient('tap')
    this.agent = null
    this.shipper = null
  }

  /** Write groups of a disk as they lie in the cluster, over all partitions, in their order. */
  groups(diskId: string): readonly WriteGroup[] {
    const groups: WriteGroup[] = []
    for (const kafkaPartition of [0, 1]) {
      for (const { value } of this.cluster.records({ topic: topicNames.writes, kafkaPartition })) {
        const { kind, record } = decodeRecord(value)
        if (kind === 'WriteGroup' && record.diskId === diskId) groups.push(record)
      }
    }
    return groups
  }

  /** What a target makes of the disk's groups. */
  replay(diskId: string): Replayed {
    return replayGroups(this.groups(diskId), Buffer.alloc(this.sizeBytes, 0xee))
  }

  source(diskId: string): Buffer {
    const image = Buffer.alloc(this.sizeBytes)
    this.media(diskId).disk.read(0, image)
    return image
  }

  /** As the target's site would, through its mirror. */
  async report(
    ...reports: readonly (Pick<PositionReport, 'diskId' | 'received'> & Partial<PositionReport>)[]
  ): Promise<void> {
    const reportedAtMs = Math.floor(this.world.clock(this.#outside).wallMs())
    const records = reports.map((report) => ({
      key: Buffer.from(report.diskId),
      value: encodePositionReport({
        site: 'site-b',
        state: 'CONSISTENT',
        code: null,
        applied: null,
        reportedAtMs,
        echo: null,
        ...report,
      }),
    }))
    await this.#mirror('positions', records)
  }

  async request(
    request: Omit<StreamRequest, 'requestId' | 'reason' | 'createdAtMs' | 'expiresAtMs'> &
      Partial<StreamRequest>,
  ): Promise<void> {
    const nowMs = Math.floor(this.world.clock(this.#outside).wallMs())
    const whole: StreamRequest = {
      requestId: `r${this.#remote}`,
      reason: 'GAP',
      createdAtMs: nowMs,
      expiresAtMs: nowMs + 60_000,
      ...request,
    }
    await this.#mirror('requests', [{ key: Buffer.from(request.diskId), value: encodeStreamRequest(whole) }])
  }

  /** Whatever stands in a topic of the target's site. */
  async mirrored(topic: 'positions' | 'requests' | 'disks', value: Buffer): Promise<void> {
    await this.#mirror(topic, [{ key: Buffer.from('vda'), value }])
  }

  async #mirror(
    topic: 'positions' | 'requests' | 'disks',
    records: readonly OutgoingRecord[],
  ): Promise<void> {
    this.#remote += 1
    const client = this.cluster.connect({ clientId: `mirror-${this.#remote}` })
    const target = { topic: remoteTopic('site-b', topic), kafkaPartition: 0 }
    await this.world.settle(client.produce({ ...target, records }))
  }
}
