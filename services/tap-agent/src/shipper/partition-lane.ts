/*
 * Everything this agent sends to one partition of `writes` (K6).
 *
 * Invariant L1: one produce is outstanding; what gathers meanwhile goes as the next batch.
 * Invariant L2: after an error every feed goes on right after its last acknowledged event, and the client is
 * made anew; between tries the lane waits, longer each time.
 */
import { KiB, MiB, codeOf } from '@blockferry/runtime'
import { type OutgoingRecord, topicNames } from '@blockferry/replication-log'
import type { DiskFeed, FedGroup } from './disk-feed.ts'
import { BackOff, type KafkaLink, linkCodeOf } from './kafka-link.ts'
import type { ShipperDeps, ShipperOptions } from './shipper-ports.ts'

/** With this much waiting a batch goes at once instead of waiting for company. */
const lingerBelowBytes = 256 * KiB

/** Room for one more group of 1 MiB of data with its header; what does not fit gets a buffer of its own. */
const groupRoomBytes = 1 * MiB + 64 * KiB

/** A heartbeat, encoded when it is sent. */
export interface PendingHeartbeat {
  readonly key: Buffer
  readonly encode: () => Buffer
}

interface Resend {
  readonly diskId: string
  readonly generation: number
  readonly fromSequence: number
}

export interface LaneFigures {
  /** Batches, events and payload bytes that Kafka A acknowledged. */
  batches: number
  events: number
  payloadBytes: number
  failures: number
}

export class PartitionLane {
  readonly kafkaPartition: number
  readonly figures: LaneFigures = { batches: 0, events: 0, payloadBytes: 0, failures: 0 }
  readonly #deps: ShipperDeps
  readonly #options: ShipperOptions
  readonly #link: KafkaLink
  readonly #backOff: BackOff
  readonly #feeds = new Map<string, DiskFeed>()
  #heartbeat: PendingHeartbeat | null = null
  /** Messages of the one outstanding batch (L1), written over by the next: free once its produce has settled. */
  #messages: Buffer | null = null
  #resends: Resend[] = []
  #turn = 0

  constructor(parts: {
    readonly deps: ShipperDeps
    readonly options: ShipperOptions
    readonly link: KafkaLink
    readonly kafkaPartition: number
  }) {
    this.#deps = parts.deps
    this.#options = parts.options
    this.#link = parts.link
    this.#backOff = new BackOff(parts.deps.clock)
    this.kafkaPartition = parts.kafkaPartition
  }

  get diskIds(): readonly string[] {
    return [...this.#feeds.keys()]
  }

  feed(diskId: string): DiskFeed | undefined {
    return this.#feeds.get(diskId)
  }

  add(feed: DiskFeed): void {
    this.#feeds.set(feed.diskId, feed)
    this.#deps.bell.ring()
  }

  async remove(diskId: string): Promise<void> {
    const feed = this.#feeds.get(diskId)
    this.#feeds.delete(diskId)
    await feed?.close()
  }

  /** Goes with the next batch; one that still waits is replaced, for only the newest says how things are. */
  beat(heartbeat: PendingHeartbeat): void {
    this.#heartbeat = heartbeat
    this.#deps.bell.ring()
  }

  resend(wanted: Resend): void {
    this.#resends.push(wanted)
    this.#deps.bell.ring()
  }

  async run(signal: AbortSignal): Promise<void> {
    const { bell, clock } = this.#deps
    while (!signal.aborted) {
      const heard = bell.value()
      await this.#reposition()
      const waiting = this.#pendingBytes()
      if (waiting === 0 && this.#heartbeat === null) {
        await bell.waitBeyond(heard)
        continue
      }
      if (waiting < lingerBelowBytes) await clock.sleep(this.#options.lingerMs, signal)
      await this.#sendBatch(signal)
    }
  }

  #pendingBytes(): number {
    let bytes = 0
    for (const feed of this.#feeds.values()) bytes += feed.pendingBytes()
    return bytes
  }

  async #reposition(): Promise<void> {
    const resends = this.#resends
    this.#resends = []
    for (const { diskId, fromSequence, generation } of resends) {
      const feed = this.#feeds.get(diskId)
      try {
        if (feed === undefined || (await feed.resendFrom(generation, fromSequence))) continue
        this.#deps.listener.resync(diskId, { expectedGeneration: generation, code: 'RESYNC_REQUESTED' })
      } catch (error) {
        if (feed !== undefined) await this.#giveUpOn(feed, error)
      }
    }
  }

  async #sendBatch(signal: AbortSignal): Promise<void> {
    const groups = await this.#collect()
    const heartbeat = this.#heartbeat
    this.#heartbeat = null
    if (groups.length === 0 && heartbeat === null) return
    try {
      await using lent = await this.#link.borrow()
      try {
        const records: OutgoingRecord[] = groups.map(({ diskId, value }) => ({
          key: Buffer.from(diskId),
          value,
        }))
        if (heartbeat !== null) records.push({ key: heartbeat.key, value: heartbeat.encode() })
        const { kafkaPartition } = this
        await lent.log.produce({ topic: topicNames.writes, kafkaPartition, records }, signal)
      } catch (error) {
        this.#link.retire(lent.log)
        throw error
      }
      this.#confirm(groups)
    } catch (error) {
      await this.#failed(error, { groups, heartbeat, signal })
    }
  }

  /** Takes groups from the feeds in turn until the batch is full: no disk starves its neighbours. */
  async #collect(): Promise<readonly FedGroup[]> {
    this.#messages ??= Buffer.allocUnsafeSlow(this.#options.batchBytesMax + groupRoomBytes)
    const messages = this.#messages
    const groups: FedGroup[] = []
    let bytes = 0
    let dry = 0
    const feeds = [...this.#feeds.values()]
    while (dry < feeds.length && bytes < this.#options.batchBytesMax) {
      const feed = feeds[this.#turn % feeds.length]
      this.#turn = (this.#turn + 1) % Math.max(1, feeds.length)
      const group = feed === undefined ? null : await this.#nextGroup(feed, messages.subarray(bytes))
      dry = group === null ? dry + 1 : 0
      if (group === null) continue
      groups.push(group)
      bytes += group.value.length
    }
    return groups
  }

  /** What cannot be read any more is owed: the disk needs a new generation, its neighbours go on. */
  async #nextGroup(feed: DiskFeed, into: Buffer): Promise<FedGroup | null> {
    try {
      return await feed.nextGroup(into)
    } catch (error) {
      await this.#giveUpOn(feed, error)
      return null
    }
  }

  async #giveUpOn(feed: DiskFeed, error: unknown): Promise<void> {
    linkCodeOf(error)
    this.#deps.listener.trouble(error)
    const code = codeOf(error) === 'LOG_GONE' ? 'RESYNC_REQUESTED' : 'SPOOL_CORRUPT'
    const unreadableThroughLsn = await feed.jumpToEnd()
    const expectedGeneration = Number.MAX_SAFE_INTEGER
    this.#deps.listener.resync(feed.diskId, { expectedGeneration, code, unreadableThroughLsn })
  }

  async #rewind(feed: DiskFeed): Promise<void> {
    try {
      await feed.rewind()
    } catch (error) {
      await this.#giveUpOn(feed, error)
    }
  }

  #confirm(groups: readonly FedGroup[]): void {
    this.#backOff.reset()
    this.#deps.listener.kafka(this.kafkaPartition, null)
    this.figures.batches += 1
    for (const group of groups) {
      this.figures.events += group.events
      this.figures.payloadBytes += group.payloadBytes
      const feed = this.#feeds.get(group.diskId)
      feed?.confirm(group.end)
    }
    for (const diskId of new Set(groups.map((group) => group.diskId))) {
      const hint = this.#feeds.get(diskId)?.acknowledged
      if (hint !== undefined && hint !== null) this.#deps.listener.shipped(diskId, hint)
    }
  }

  /** L2. */
  async #failed(
    error: unknown,
    batch: {
      readonly groups: readonly FedGroup[]
      readonly heartbeat: PendingHeartbeat | null
      readonly signal: AbortSignal
    },
  ): Promise<void> {
    const code = linkCodeOf(error)
    for (const diskId of new Set(batch.groups.map((group) => group.diskId))) {
      const feed = this.#feeds.get(diskId)
      if (feed !== undefined) await this.#rewind(feed)
    }
    this.#heartbeat ??= batch.heartbeat
    if (batch.signal.aborted) return
    this.figures.failures += 1
    this.#deps.listener.kafka(this.kafkaPartition, code)
    this.#deps.listener.trouble(error)
    await this.#backOff.wait(batch.signal)
  }

  async close(): Promise<void> {
    for (const feed of this.#feeds.values()) await feed.close()
  }
}
