import { AssertionError, codeOf, Fault, type Clock } from '@blockferry/runtime'
import type { DiskDescriptor, JudgeContext } from '@blockferry/disk-stream'
import { type FetchedRecord, nextAfterDamage, remoteTopic } from '@blockferry/replication-log'
import { decodeRecord } from '@blockferry/schemas'
import type { Disk } from '../disk/disk.ts'
import { catalogue } from '../error-catalogue.ts'
import { haltOf } from '../disk/halt.ts'
import type { KafkaSession } from '../kafka/kafka-session.ts'
import type { ApplierOptions } from '../options.ts'
import type { ApplierLogger } from '../ports.ts'
import type { Volume } from '../volume/volume.ts'
import { DamagedPlaces } from './damaged-places.ts'

type Owner = NonNullable<JudgeContext['descriptor']>

/**
 * Follows the mirrored disk descriptors and ownership records, from the topic's start at every start.
 * Folded by generation number, not by arrival: a restarted mirror sends old after new (K5).
 */
export class DescriptorFollower {
  readonly #deps: {
    readonly clock: Clock
    readonly logger: ApplierLogger
  }
  readonly #options: ApplierOptions
  readonly #volume: Volume
  readonly #topic: string
  readonly #damaged: DamagedPlaces
  #cursor: bigint | null = null
  /** Disks without a target here, said once each. */
  readonly #foreign = new Set<string>()

  constructor(
    deps: { readonly clock: Clock; readonly logger: ApplierLogger },
    options: ApplierOptions,
    volume: Volume,
  ) {
    this.#deps = deps
    this.#options = options
    this.#volume = volume
    this.#damaged = new DamagedPlaces(options.undecodableTriesMax)
    this.#topic = remoteTopic(options.peerSite, 'disks')
  }

  /** Follows in this session, from the topic's start, until the signal aborts. Throws what ends the session. */
  async run(session: KafkaSession, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps
    this.#cursor = null
    let retryMs = this.#options.retryMsMin
    while (!signal.aborted) {
      try {
        await this.#round(session, signal)
        retryMs = this.#options.retryMsMin
      } catch (error) {
        if (error instanceof AssertionError) throw error
        if (signal.aborted) return
        session.meet(error)
        logger.warn(
          { event: 'descriptors-failed', code: codeOf(error), err: error },
          'reading descriptors failed; trying again',
        )
        await clock.sleep(retryMs, signal)
        retryMs = Math.min(retryMs * 2, this.#options.retryMsMax)
      }
    }
  }

  async #round({ log }: KafkaSession, signal: AbortSignal): Promise<void> {
    const place = { topic: this.#topic, kafkaPartition: 0 }
    this.#cursor ??= (await log.offsets(place)).earliest
    const request = {
      positions: [{ ...place, kafkaOffset: this.#cursor }],
      waitMsMax: this.#options.reportIntervalMsMax,
      partitionBytesMax: this.#options.fetchPartitionBytesMax,
      bytesMax: this.#options.fetchPartitionBytesMax,
    }
    const [outcome] = await log.fetch(request, signal)
    if (outcome === undefined) return
    if (outcome.kind === 'records') {
      for (const record of outcome.records) this.#take(record)
      this.#cursor = outcome.nextKafkaOffset
      return
    }
    if (outcome.kind === 'failed') {
      if (this.#leaveBehind(this.#cursor, outcome.cause)) return
      throw outcome.cause
    }
    // Facts are folded, so reading them again does no harm.
    this.#cursor = null
  }

  /** A stored batch that stays unreadable: newer facts behind it count, and a disk that lacks its own says so. */
  #leaveBehind(kafkaOffset: bigint, cause: unknown): boolean {
    const nextKafkaOffset = nextAfterDamage(cause)
    if (nextKafkaOffset === null) return false
    if (!this.#damaged.isGivenUp({ kafkaPartition: 0, kafkaOffset, nextKafkaOffset })) return false
    this.#volume.stats.damagedBatches += 1
    this.#deps.logger.error(
      { event: 'batch-left-behind', code: codeOf(cause), err: cause, from: `${kafkaOffset}` },
      `${this.#topic}: the batch at ${kafkaOffset} stays unreadable; going on at ${nextKafkaOffset}`,
    )
    this.#cursor = nextKafkaOffset
    return true
  }

  #take(record: FetchedRecord): void {
    try {
      const any = decodeRecord(record.value)
      if (any.kind === 'DiskDescriptor' && this.#isOurs(any.record)) this.#takeDescriptor(any.record)
      if (any.kind === 'Ownership' && this.#volume.isOurs(any.record.diskId)) {
        const { number, id, ownerSite } = any.record.generation
        const disk = this.#volume.disk(any.record.diskId)
        this.#takeOwner(disk, { ownerSite, generation: number, generationId: id })
      }
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      this.#refuse(record, error)
    }
  }

  /** A descriptor that cannot be read stops its disk, and nothing else, until a good one follows. */
  #refuse(record: FetchedRecord, fault: Fault): void {
    const [diskId = ''] = (record.key?.toString('utf8') ?? '').split('/')
    const fields = {
      event: 'descriptor-undecodable',
      diskId,
      code: fault.code,
      kafkaOffset: String(record.kafkaOffset),
    }
    this.#deps.logger.error(fields, `a record of ${this.#topic} cannot be read: ${fault.message}`)
    if (diskId === '' || !this.#volume.isOurs(diskId)) return
    const halt = haltOf(fault, { code: fault.code, nextCommand: fault.nextCommand, message: fault.message })
    this.#volume.raise(this.#volume.disk(diskId), 'descriptor', halt)
  }

  /** A disk without a target here is another applier's, or a mistake: it is left alone and said. */
  #isOurs({ diskId }: DiskDescriptor): boolean {
    if (this.#volume.isOurs(diskId)) return true
    if (!this.#foreign.has(diskId)) {
      this.#foreign.add(diskId)
      const { nextCommand } = catalogue.TARGET_NOT_CONFIGURED
      const fields = { event: 'disk-not-here', diskId, code: 'TARGET_NOT_CONFIGURED', nextCommand }
      this.#deps.logger.warn(fields, `disk ${diskId} has no target at this applier: it is not applied here`)
    }
    return false
  }

  #takeDescriptor(descriptor: DiskDescriptor): void {
    const disk = this.#volume.disk(descriptor.diskId)
    const { ownerSite, generation, generationId } = descriptor
    this.#takeOwner(disk, { ownerSite, generation, generationId })
    if (disk.descriptor !== null && disk.descriptor.generation > generation) return
    const isNew = disk.descriptor === null
    disk.descriptor = descriptor
    this.#volume.clear(disk, 'descriptor')
    if (!isNew) return
    const { diskId, sizeBytes, groupId, kafkaPartition } = descriptor
    const fields = { event: 'disk-known', diskId, sizeBytes, groupId, kafkaPartition }
    this.#deps.logger.info(fields, `disk ${diskId} is described`)
  }

  #takeOwner(disk: Disk, owner: Owner): void {
    const known = disk.owner
    if (known !== null && known.generation > owner.generation) return
    const same = known?.generationId === owner.generationId && known.ownerSite === owner.ownerSite
    if (same) return
    disk.owner = owner
    disk.ownerChangedMs = this.#deps.clock.monotonicMs()
  }
}
