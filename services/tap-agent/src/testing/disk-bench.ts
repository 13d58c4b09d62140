import type { Generation, Position, StreamEvent } from '@blockferry/disk-stream'
import { advanceChain, initialChain } from '@blockferry/disk-stream'
import { assert, Fault, KiB } from '@blockferry/runtime'
import {
  localPublishedLength,
  MemorySegmentDirectory,
  openSegmentFollowerOn,
  openSegmentLogOn,
  type SegmentFiles,
} from '@blockferry/segment-log'
import {
  type BlockDevice,
  type FileIdentity,
  MemoryMedium,
  MemorySlotMedium,
  openControlSlots,
  openMemoryDevice,
} from '@blockferry/storage'
import { type ControlRecord, decodeControlRecord, type ShipHint } from '../disk/control-record.ts'
import type { DiskObserver, Minted, MintRequest, TapDiskDeps } from '../disk/disk-ports.ts'
import { TapDisk } from '../disk/tap-disk.ts'
import type { HostSpoolView } from '../spool/host-spool.ts'
import { createFrameDecoder } from '../spool/frame.ts'
import { Life, World } from './world.ts'

export interface BenchOptions {
  readonly seed: number
  readonly diskId?: string
  readonly groupId?: string
  readonly sizeBytes?: number
  readonly segmentBytes?: number
  readonly spoolBytesMax?: number
  /** Space of the state volume for the spool; beyond it appends fail with ENOSPC. */
  readonly volumeBytes?: number
  /** Wraps the device of each opening: delays, failures. */
  readonly wrapDevice?: (device: BlockDevice) => BlockDevice
  /** True while the control slots cannot be written. */
  readonly slotsFail?: () => boolean
  /** Wraps the spool's files: failures, and tests that watch what happens to them. */
  readonly wrapSegments?: (files: SegmentFiles) => SegmentFiles
  /** What the spools of all disks may take. */
  readonly hostSpool?: HostSpoolView
  readonly world?: World
}

/** What a gate of the state volume is asked about; `appended` once the bytes are there. */
export type VolumeOperation = 'append' | 'appended' | 'sync' | 'slot'

/** One event as the spool holds it. */
export interface StreamEntry {
  readonly generation: Generation
  readonly sequence: number
  readonly event: StreamEvent
  readonly data: Buffer
}

/** One disk on memory: its media outlive the agent's incarnations. */
export class DiskBench {
  readonly world: World
  medium = new MemoryMedium()
  readonly spool: MemorySegmentDirectory
  readonly slots = new MemorySlotMedium()
  readonly options: Required<Pick<BenchOptions, 'diskId' | 'sizeBytes' | 'segmentBytes' | 'spoolBytesMax'>> &
    BenchOptions
  readonly observed: string[] = []
  /** The file that the source is, as its file system tells it. */
  sourceFile: { readonly sizeBytes: number; readonly fileIdentity: FileIdentity | null } | null
  /** What incarnations opened and did not close. */
  readonly stillOpen: string[] = []
  bootId = 'boot-1'
  kafkaAway = false
  /** Passed by what reaches the state volume: it may hold, or throw. */
  volumeGate: (operation: VolumeOperation) => Promise<void> = () => Promise.resolve()
  mints = 0
  attached: { readonly hint: ShipHint | null; readonly kafkaPartition: number } | null = null
  life = new Life()
  #published = localPublishedLength()
  #inode = 2
  disk: TapDisk | null = null

  constructor(options: BenchOptions) {
    this.world = options.world ?? new World(options.seed)
    this.options = {
      diskId: 'vda',
      sizeBytes: 256 * KiB,
      segmentBytes: 512 * KiB,
      spoolBytesMax: 64 * 512 * KiB,
      ...options,
    }
    this.sourceFile = { sizeBytes: this.options.sizeBytes, fileIdentity: { inode: '1', bornAtNs: null } }
    this.spool = new MemorySegmentDirectory(
      options.volumeBytes === undefined ? {} : { bytesMax: options.volumeBytes },
    )
  }

  /** A new incarnation of the agent opens the disk. */
  async open(observer: DiskObserver = {}): Promise<TapDisk> {
    const disk = await this.world.settle(this.begin(observer), 'opening')
    this.disk = disk
    if (!this.kafkaAway) disk.kafka(null)
    return disk
  }

  /** Begins to open the disk: the world decides how far it gets, perhaps until a kill. */
  begin(observer: DiskObserver = {}): Promise<TapDisk> {
    this.life = new Life()
    this.#published = localPublishedLength()
    const { diskId, groupId, segmentBytes, spoolBytesMax } = this.options
    const identity = { diskId, groupId: groupId ?? null, provisioning: 'thin' } as const
    return TapDisk.open(this.#deps(observer), { ...identity, segmentBytes, spoolBytesMax })
  }

  /** Opens the disk and brings it to STREAMING. */
  async openStreaming(observer: DiskObserver = {}): Promise<TapDisk> {
    const disk = await this.open(observer)
    await this.tickUntil(() => disk.status().state === 'STREAMING', 'STREAMING')
    return disk
  }

  async tickUntil(condition: () => boolean, what: string): Promise<void> {
    const disk = this.require()
    for (let ticks = 0; ticks < 200 && !condition(); ticks += 1) {
      await this.world.settle(disk.tick(), 'a tick')
      await this.world.settle(this.world.clock(this.life).sleep(1_000), what)
    }
    assert(condition(), `never happened: ${what}; is ${JSON.stringify(disk.status())}`)
  }

  /** kill -9: what the page cache holds survives. */
  kill(): void {
    this.world.kill(this.life)
    for (const part of [this.medium, this.spool, this.slots]) part.crash({ loseUnflushed: false })
    this.disk = null
  }

  require(): TapDisk {
    assert(this.disk !== null, 'the disk is open')
    return this.disk
  }

  #deps(observer: DiskObserver): TapDiskDeps {
    const { life, world } = this
    const step = () => world.step(life)
    const { segmentBytes, spoolBytesMax } = this.options
    return {
      clock: world.clock(life),
      random: world.random,
      bootId: this.bootId,
      stamp: () => ({ agentId: 'agent', counter: 1 }),
      openDevice: async ({ mayCreate }) => {
        if (this.sourceFile === null && !mayCreate) throw new Fault('DISK_MISSING', 'there is no such file')
        if (this.sourceFile === null) this.replaceSource(this.options.sizeBytes)
        const { fileIdentity, sizeBytes } = this.sourceFile ?? fail()
        const device = openMemoryDevice({ sizeBytes, medium: this.medium, step })
        const wrapped = this.options.wrapDevice?.(device) ?? device
        return this.#watched('device', Object.assign(wrapped, { fileIdentity }))
      },
      openSlots: () => {
        const file = this.slots.open(step)
        const writeAt = async (position: number, data: Buffer) => {
          if (this.options.slotsFail?.() === true) throw Object.assign(new Error('EIO'), { code: 'EIO' })
          await this.volumeGate('slot')
          await file.writeAt(position, data)
        }
        const watched = this.#watched('slots', { ...file, writeAt })
        return openControlSlots({ file: watched, slotBytes: 8 * KiB, whenLost: 'begin-anew' })
      },
      openSpool: async (scanFrom) => {
        const files = this.spool.open(step)
        const opened = await openSegmentLogOn(this.options.wrapSegments?.(files) ?? files, {
          limits: { segmentBytes, bytesMax: spoolBytesMax },
          random: world.random,
          published: this.#published,
          ...(scanFrom === undefined ? {} : { scanFrom }),
        })
        const log = this.#watched('spool', opened.log)
        const [append, sync] = [log.append.bind(log), log.sync.bind(log)]
        log.sync = () => this.volumeGate('sync').then(sync)
        log.append = async (bodies) => {
          await this.volumeGate('append')
          const lsns = await append(bodies)
          await this.volumeGate('appended')
          return lsns
        }
        return opened
      },
      ...(this.options.hostSpool === undefined ? {} : { hostSpool: this.options.hostSpool }),
      authority: { mint: (request) => this.#mint(request, step) },
      shipping: {
        attach: (attached) => {
          this.attached = attached
        },
        ring: () => {},
        detach: () => {},
      },
      observer,
    }
  }

  /** Another, empty file takes the source's place. */
  replaceSource(sizeBytes: number): void {
    this.medium = new MemoryMedium()
    this.sourceFile = { sizeBytes, fileIdentity: { inode: String(this.#inode), bornAtNs: null } }
    this.#inode += 1
  }

  /** Takes note of an opened part until it is closed. */
  #watched<T extends { close(): Promise<void> }>(name: string, part: T): T {
    this.stillOpen.push(name)
    const close = part.close.bind(part)
    part.close = () => {
      const at = this.stillOpen.indexOf(name)
      if (at >= 0) this.stillOpen.splice(at, 1)
      return close()
    }
    return part
  }

  async #mint(request: MintRequest, step: () => Promise<void>): Promise<Minted> {
    await step()
    if (this.kafkaAway) throw new Fault('KAFKA_UNREACHABLE', 'away')
    this.mints += 1
    const { base, generationSeenMax, predecessor, reason, stamp } = request
    const number = 1 + Math.max(generationSeenMax, this.mints - 1)
    const id = this.world.random.hex(16)
    const generation = { number, id, ownerSite: 'site-a', reason, base, predecessor, stamp }
    return { generation, kafkaPartition: 0 }
  }

  /** Every event in the spool, with numbers and chains checked. */
  async stream(): Promise<readonly StreamEntry[]> {
    const follower = await openSegmentFollowerOn(this.spool.open(), this.#published)
    const decoder = createFrameDecoder()
    const reader = follower.reader(await follower.firstLsn())
    const entries: StreamEntry[] = []
    let end: Position | null = null
    for (;;) {
      const read = await reader.next()
      if (read === null) return entries
      const frame = decoder.frame(read.body)
      const { generation } = frame
      const isSame: boolean = end?.generationId === generation.id
      assert(!isSame || end?.sequence === frame.firstSequence - 1, 'numbers have no holes')
      let chain: number = isSame ? (end?.chain ?? 0) : initialChain(generation.id)
      if (isSame || frame.firstSequence === 1) assert(chain === frame.chainBefore, 'chains join')
      chain = frame.chainBefore
      let at = 0
      let sequence = frame.firstSequence - 1
      for (const event of frame.events) {
        sequence += 1
        chain = advanceChain(chain, { sequence, event })
        const byteLength = event.kind === 'write' ? event.byteLength : 0
        entries.push({
          generation,
          sequence,
          event,
          data: Buffer.from(frame.payload.subarray(at, at + byteLength)),
        })
        at += byteLength
      }
      end = { generation: generation.number, generationId: generation.id, sequence, chain }
    }
  }

  /** What a target holds that started the newest generation with rubbish and applied all of it. */
  async replay(throughSequence = Infinity): Promise<Buffer> {
    const entries = await this.stream()
    const image = Buffer.alloc(this.options.sizeBytes, 0xee)
    const newest = entries.at(-1)?.generation.id
    for (const { data, event, generation, sequence } of entries) {
      if (generation.id !== newest || sequence > throughSequence) continue
      applyEvent(image, event, data)
    }
    return image
  }

  /** How far the spool may be read. */
  publishedLsn(): number {
    return this.#published.load()
  }

  /** What a start-up would believe now (T5). */
  async durableRecord(): Promise<ControlRecord> {
    const slots = await openControlSlots({ file: this.slots.open(), slotBytes: 8 * KiB })
    const { newest } = slots
    const record = newest === null ? null : decodeControlRecord(newest.record)
    assert(record !== null, 'the slots were written')
    return record
  }

  async durableMode(): Promise<string> {
    return (await this.durableRecord()).mode
  }

  /** What the source holds now. */
  source(): Buffer {
    const image = Buffer.alloc(this.options.sizeBytes)
    this.medium.read(0, image)
    return image
  }
}

function fail(): never {
  throw new Error('the source is there')
}

export function applyEvent(image: Buffer, event: StreamEvent, data: Buffer): void {
  if (event.kind === 'write') data.copy(image, event.byteOffset)
  if (event.kind === 'zero') image.fill(0, event.byteOffset, event.byteOffset + event.byteLength)
}

/** Data that is never all zero and tells writes apart. */
export function pattern(byteLength: number, tag: number): Buffer {
  const data = Buffer.alloc(byteLength, (tag % 255) + 1)
  data.writeUInt16LE(tag % 65_536, 0)
  return data
}
