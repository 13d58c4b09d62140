/*
 * The shipper: from the spools of this agent's disks to Kafka of its site, and what comes back from the
 * target. In production it has a thread of its own; all it touches are ports, so simulation runs it in one.
 */
import type { Heartbeat, HeartbeatDisk, Stamp, StreamRequest } from '@blockferry/disk-stream'
import { encodeHeartbeat } from '@blockferry/schemas'
import type { ShipHint } from '../disk/control-record.ts'
import type { Minted, MintRequest } from '../disk/disk-ports.ts'
import type { DiskStatus } from '../disk/disk-state.ts'
import { Authority } from './authority.ts'
import { DiskFeed } from './disk-feed.ts'
import { KafkaLink } from './kafka-link.ts'
import { type LaneFigures, PartitionLane } from './partition-lane.ts'
import { writeGroupBytesMax } from '@blockferry/disk-stream'
import type { ShipperDeps, ShipperOptions } from './shipper-ports.ts'
import { SiteFacts } from './site-facts.ts'
import { SiteWatch } from './site-watch.ts'

/** Request ids remembered against repetition; older ones are held off by expiry and generation. */
const requestIdsMax = 1024
/** Requests kept for disks that are not open yet; the oldest gives way, and whoever asked asks again. */
const waitingRequestsMax = 1024

export interface Attachment {
  readonly diskId: string
  readonly kafkaPartition: number
  readonly hint: ShipHint | null
}

export interface Shipper extends AsyncDisposable {
  /** From now on reads the disk's spool, from the hint on. Attaching again changes nothing. */
  attach(attachment: Attachment): void
  detach(diskId: string): void
  mint(request: MintRequest): Promise<Minted>
  /** Once a second: a heartbeat to each partition that has a disk of this agent. */
  beat(statuses: readonly DiskStatus[], stamp: Stamp): void
  readonly figures: ReadonlyMap<number, LaneFigures>
  /** Stops sending; what is not acknowledged stays in the spools. */
  stop(): Promise<void>
}

export function createShipper(deps: ShipperDeps, options: ShipperOptions): Shipper {
  return new ShipperImplementation(deps, options)
}

class ShipperImplementation implements Shipper {
  readonly #deps: ShipperDeps
  readonly #options: ShipperOptions
  readonly #stopping = new AbortController()
  readonly #link: KafkaLink
  readonly #facts: SiteFacts
  readonly #authority: Authority
  readonly #lanes = new Map<number, PartitionLane>()
  readonly #partitions = new Map<string, number>()
  readonly #scratch = new Map<number, Buffer>()
  readonly #seenRequests = new Set<string>()
  readonly #waitingRequests = new Map<string, StreamRequest>()
  readonly #running: Promise<void>[] = []
  #statuses: readonly DiskStatus[] = []

  constructor(deps: ShipperDeps, options: ShipperOptions) {
    this.#deps = deps
    this.#options = options
    this.#link = new KafkaLink(deps, options)
    this.#facts = new SiteFacts(options.partitions)
    const parts = { deps, options, link: this.#link, facts: this.#facts }
    const watch = new SiteWatch({ ...parts, onRequest: (request) => this.#requested(request) })
    const { signal } = this.#stopping
    this.#authority = new Authority({ ...parts, watch, signal })
    this.#running.push(watch.run(signal))
  }

  get figures(): ReadonlyMap<number, LaneFigures> {
    return new Map([...this.#lanes].map(([kafkaPartition, lane]) => [kafkaPartition, lane.figures]))
  }

  attach(attachment: Attachment): void {
    if (this.#partitions.has(attachment.diskId)) return
    this.#partitions.set(attachment.diskId, attachment.kafkaPartition)
    this.#running.push(this.#open(attachment))
  }

  async #open({ diskId, hint, kafkaPartition }: Attachment): Promise<void> {
    const spool = await this.#deps.openSpool(diskId)
    const firstLsn = await spool.firstLsn()
    if (this.#partitions.get(diskId) !== kafkaPartition || this.#stopping.signal.aborted) return
    const lane = this.#lane(kafkaPartition)
    const scratch = this.#scratch.get(kafkaPartition) ?? Buffer.allocUnsafeSlow(writeGroupBytesMax)
    this.#scratch.set(kafkaPartition, scratch)
    lane.add(new DiskFeed({ diskId, spool, scratch, hint, firstLsn }))
  }

  #lane(kafkaPartition: number): PartitionLane {
    const known = this.#lanes.get(kafkaPartition)
    if (known !== undefined) return known
    const parts = { deps: this.#deps, options: this.#options, link: this.#link, kafkaPartition }
    const lane = new PartitionLane(parts)
    this.#lanes.set(kafkaPartition, lane)
    this.#running.push(lane.run(this.#stopping.signal))
    return lane
  }

  detach(diskId: string): void {
    const lane = this.#lanes.get(this.#partitions.get(diskId) ?? -1)
    this.#partitions.delete(diskId)
    if (lane !== undefined) this.#running.push(lane.remove(diskId))
  }

  mint(request: MintRequest): Promise<Minted> {
    return this.#authority.mint(request)
  }

  beat(statuses: readonly DiskStatus[], stamp: Stamp): void {
    this.#statuses = statuses
    // A list of its own: what goes on waiting is put at the map's end while this goes through it.
    const waiting = [...this.#waitingRequests.values()]
    for (const request of waiting) this.#requested(request)
    const key = Buffer.from(this.#options.agentId)
    for (const lane of this.#lanes.values()) {
      if (lane.diskIds.length === 0) continue
      lane.beat({ key, encode: () => encodeHeartbeat(this.#heartbeat(lane, stamp)) })
    }
  }

  /** Made when it is sent, so that its time and its figures are those of that moment. */
  #heartbeat(lane: PartitionLane, stamp: Stamp): Heartbeat {
    const disks = this.#statuses
      .filter((status) => lane.diskIds.includes(status.diskId))
      .map((status) => this.#line(status, lane))
    return {
      agentId: this.#options.agentId,
      site: this.#options.site,
      sourceTimeMs: Math.floor(this.#deps.clock.wallMs()),
      stamp,
      clockSkew: this.#facts.skew,
      disks,
      resumeInputOffset: null,
    }
  }

  #line(status: DiskStatus, lane: PartitionLane): HeartbeatDisk {
    const { code, consistentAsOfMs, diskId, position, progress, state } = status
    const feed = lane.feed(diskId)
    const shipped = feed?.acknowledged?.position ?? null
    const isSame = shipped !== null && shipped.generationId === position?.generationId
    const spooledEvents = Math.max(0, (position?.sequence ?? 0) - (isSame ? shipped.sequence : 0))
    const spooledBytes = feed?.pendingBytes() ?? 0
    const oldestSpooledAtMs = feed?.oldestUnacknowledgedAtMs ?? null
    return {
      diskId,
      state,
      code,
      position,
      consistentAsOfMs,
      progress,
      spooledEvents,
      spooledBytes,
      oldestSpooledAtMs,
    }
  }

  /**
   * Idempotent by id; what is expired or about an older generation is ignored (T3, T6). The topic is read before the
   * disks are open: a request waits for its disk, which may take as long as its storage is away.
   */
  #requested(request: StreamRequest): void {
    const { diskId, expectedGeneration, expiresAtMs, fromSequence, kind, requestId } = request
    this.#waitingRequests.delete(requestId)
    // It expires by the clock of the target that wrote it.
    const targetNowMs = this.#deps.clock.wallMs() + (this.#facts.skew?.estimateMs ?? 0)
    if (this.#seenRequests.has(requestId) || expiresAtMs <= targetNowMs) return
    const status = this.#statuses.find((each) => each.diskId === diskId)
    const lane = this.#lanes.get(this.#partitions.get(diskId) ?? -1)
    const isAnswerable = status !== undefined && (kind === 'resync' || lane?.feed(diskId) !== undefined)
    if (!isAnswerable) {
      this.#keepWaiting(request)
      return
    }
    this.#remember(requestId)
    if (expectedGeneration < (status.position?.generation ?? 0)) return
    if (kind === 'resync') {
      this.#deps.listener.resync(diskId, { expectedGeneration, code: 'RESYNC_REQUESTED' })
      return
    }
    lane?.resend({ diskId, generation: expectedGeneration, fromSequence })
  }

  #keepWaiting(request: StreamRequest): void {
    this.#waitingRequests.set(request.requestId, request)
    const [oldest] = this.#waitingRequests.keys()
    if (this.#waitingRequests.size > waitingRequestsMax && oldest !== undefined) {
      this.#waitingRequests.delete(oldest)
    }
  }

  #remember(requestId: string): void {
    this.#seenRequests.add(requestId)
    const [oldest] = this.#seenRequests
    if (this.#seenRequests.size > requestIdsMax && oldest !== undefined) this.#seenRequests.delete(oldest)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#deps.bell.ring()
    // First the client: its waits for a Kafka that is away end with it.
    await this.#link.close()
    await Promise.all(this.#running)
    for (const lane of this.#lanes.values()) await lane.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
