import { type FetchOutcome, remoteTopic } from '@blockferry/replication-log'
import { assert } from '@blockferry/runtime'
import type { Disk } from '../disk/disk.ts'
import type { KafkaSession } from '../kafka/kafka-session.ts'
import type { ApplierOptions } from '../options.ts'
import type { ApplierDeps } from '../ports.ts'
import type { Volume } from '../volume/volume.ts'
import type { MirrorWatch } from './mirror-watch.ts'

/** How often the start of a partition is looked at: retention moves it. */
const refreshMs = 10_000

interface Look {
  asking: boolean
  /** Monotonic: not asked again before. */
  dueMs: number
}

/**
 * Where reading of the mirrored updates goes on (K4): the checkpoint's offsets while the topic is the one
 * they belong to; else from the earliest record, where S9 drops what is already here.
 */
export class MirrorTopic {
  readonly name: string
  readonly #volume: Volume
  readonly #deps: ApplierDeps
  readonly #options: ApplierOptions
  readonly #watch: MirrorWatch
  readonly #looks = new Map<number, Look>()
  #session: KafkaSession | null = null
  #ended: { readonly error: unknown } | null = null

  constructor(parts: {
    readonly volume: Volume
    readonly deps: ApplierDeps
    readonly options: ApplierOptions
    readonly watch: MirrorWatch
  }) {
    this.#volume = parts.volume
    this.#deps = parts.deps
    this.#options = parts.options
    this.#watch = parts.watch
    this.name = remoteTopic(parts.options.peerSite, 'updates')
  }

  /** A new session: the topic that it found is the one to read. */
  begin(session: KafkaSession): void {
    const found = session.topics.get(this.name)
    assert(found !== undefined, 'the mirrored updates are a topic of this site')
    this.#session = session
    this.#ended = null
    this.#looks.clear()
    for (let kafkaPartition = 0; kafkaPartition < found.partitions; kafkaPartition += 1) {
      this.#looks.set(kafkaPartition, { asking: false, dueMs: 0 })
    }
    if (found.topicId !== this.#volume.topicId) this.#adopt(found.topicId)
    this.#watch.opened(found.partitions)
  }

  /**
   * Asks where partitions begin, those not looked at for a while; waits for none of them (E2). Throws what
   * ends the session, if such an answer came.
   */
  refresh(): void {
    if (this.#ended !== null) throw this.#ended.error
    const nowMs = this.#deps.clock.monotonicMs()
    for (const [kafkaPartition, look] of this.#looks) {
      if (!look.asking && nowMs >= look.dueMs) void this.#look(kafkaPartition, look)
    }
  }

  /** A place that the topic no longer has, or does not have yet: search by position, from its start. */
  outOfRange(outcome: Extract<FetchOutcome, { kind: 'outOfRange' }>): void {
    const { kafkaPartition, earliest, latest } = outcome
    const cursor = this.#volume.cursors.get(kafkaPartition)
    this.#deps.logger.warn(
      {
        event: 'out-of-range',
        kafkaPartition,
        cursor: String(cursor),
        earliest: String(earliest),
        latest: String(latest),
      },
      `partition ${kafkaPartition}: the place to read on is gone; searching from the earliest record`,
    )
    this.#volume.earliest.set(kafkaPartition, earliest)
    this.#startOver(kafkaPartition, earliest)
  }

  async #look(kafkaPartition: number, look: Look): Promise<void> {
    const { clock } = this.#deps
    const session = this.#session
    if (session === null) return
    look.asking = true
    try {
      const { earliest } = await session.log.offsets({ topic: this.name, kafkaPartition })
      if (this.#session !== session) return
      this.#volume.earliest.set(kafkaPartition, earliest)
      if (!this.#volume.cursors.has(kafkaPartition)) this.#volume.cursors.set(kafkaPartition, earliest)
      look.dueMs = clock.monotonicMs() + refreshMs
    } catch (error) {
      this.#met(session, error)
      // A partition that is read already shows its trouble by its fetches.
      if (!this.#volume.cursors.has(kafkaPartition)) this.#watch.failed(kafkaPartition, error)
      look.dueMs = clock.monotonicMs() + this.#options.retryMsMax
    } finally {
      look.asking = false
    }
  }

  /** A partition that has no place yet is not fetched: nobody else would meet this. */
  #met(session: KafkaSession, error: unknown): void {
    try {
      session.meet(error)
    } catch (ending) {
      if (this.#session === session) this.#ended = { error: ending }
    }
  }

  #adopt(topicId: string): void {
    const { volume, logger } = { volume: this.#volume, logger: this.#deps.logger }
    if (volume.topicId !== null) {
      logger.warn(
        { event: 'topic-recreated', before: volume.topicId, topicId },
        `${this.name} is another topic now: searching from its earliest record`,
      )
      volume.cursors.clear()
      volume.earliest.clear()
      for (const disk of volume.disks.values()) {
        release(disk, 0n)
        disk.acceptedKafkaOffset = null
        disk.appliedKafkaOffset = null
      }
    }
    volume.topicId = topicId
  }

  #startOver(kafkaPartition: number, earliest: bigint): void {
    this.#volume.cursors.set(kafkaPartition, earliest)
    for (const disk of this.#volume.disks.values()) {
      if (disk.parked?.kafkaPartition === kafkaPartition) release(disk, earliest)
      if (disk.kafkaPartition === kafkaPartition) disk.acceptedKafkaOffset = null
    }
  }
}

/** The disk is read with the others again; or from there, once its frames are copied: nothing may come before. */
function release(disk: Disk, earliest: bigint): void {
  if (!disk.copying) disk.parked = null
  else if (disk.parked !== null) disk.parked.fromKafkaOffset = earliest
}
