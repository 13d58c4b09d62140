import { type FetchOutcome, remoteTopic } from '@blockferry/replication-log'
import { applierFault } from '../faults.ts'
import type { ApplierOptions } from '../options.ts'
import type { ApplierDeps } from '../ports.ts'
import type { Volume } from '../volume/volume.ts'

/** How often the topic's identity is looked at while nothing is suspicious. */
const refreshMs = 10_000

/**
 * Where reading of the mirrored updates goes on (K4): the checkpoint's offsets while the topic is the one
 * they belong to; else from the earliest record, where S9 drops what is already here.
 */
export class MirrorTopic {
  readonly name: string
  readonly #volume: Volume
  readonly #deps: ApplierDeps
  #lookedAtMs: number | null = null

  constructor(parts: {
    readonly volume: Volume
    readonly deps: ApplierDeps
    readonly options: ApplierOptions
  }) {
    this.#volume = parts.volume
    this.#deps = parts.deps
    this.name = remoteTopic(parts.options.peerSite, 'updates')
  }

  /** Something was wrong: look at the topic again before the next fetch. */
  doubt(): void {
    this.#lookedAtMs = null
  }

  /** Fault: MIRROR_UNREADABLE while the topic is not there. */
  async refresh(): Promise<void> {
    const nowMs = this.#deps.clock.monotonicMs()
    if (this.#lookedAtMs !== null && nowMs - this.#lookedAtMs < refreshMs) return
    const found = await this.#deps.replicationLog.describeTopic(this.name)
    if (found === null) throw applierFault('MIRROR_UNREADABLE', `Kafka B has no topic ${this.name}`)
    if (found.topicId !== this.#volume.topicId) this.#adopt(found.topicId)
    for (let kafkaPartition = 0; kafkaPartition < found.partitions; kafkaPartition += 1) {
      const { earliest } = await this.#deps.replicationLog.offsets({ topic: this.name, kafkaPartition })
      this.#volume.earliest.set(kafkaPartition, earliest)
      if (!this.#volume.cursors.has(kafkaPartition)) this.#volume.cursors.set(kafkaPartition, earliest)
    }
    this.#lookedAtMs = nowMs
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
    this.#startOver(kafkaPartition, earliest)
    this.doubt()
  }

  #adopt(topicId: string): void {
    const { volume, logger } = { volume: this.#volume, logger: this.#deps.logger }
    if (volume.topicId !== null) {
      logger.warn(
        { event: 'topic-recreated', before: volume.topicId, topicId },
        `${this.name} is another topic now: searching from its earliest record`,
      )
      volume.cursors.clear()
      for (const disk of volume.disks.values()) {
        disk.parked = null
        disk.acceptedKafkaOffset = null
      }
    }
    volume.topicId = topicId
  }

  #startOver(kafkaPartition: number, earliest: bigint): void {
    this.#volume.cursors.set(kafkaPartition, earliest)
    for (const disk of this.#volume.disks.values()) {
      if (disk.parked?.kafkaPartition === kafkaPartition) disk.parked = null
      if (disk.kafkaPartition === kafkaPartition) disk.acceptedKafkaOffset = null
    }
  }
}
