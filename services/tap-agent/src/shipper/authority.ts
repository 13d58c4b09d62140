/*
 * Minting (S2, T9).
 *
 * Invariant A1: a number is 1 + the highest ever seen, after everything in the topics of facts has been read.
 * Invariant A2: ownership and descriptor are acknowledged by Kafka A before a generation is handed out.
 */
import type { DiskDescriptor, Generation } from '@blockferry/disk-stream'
import { topicNames } from '@blockferry/replication-log'
import { encodeDiskDescriptor, encodeOwnership } from '@blockferry/schemas'
import type { Minted, MintRequest } from '../disk/disk-ports.ts'
import type { KafkaLink } from './kafka-link.ts'
import type { ShipperDeps, ShipperOptions } from './shipper-ports.ts'
import type { SiteFacts } from './site-facts.ts'
import type { SiteWatch } from './site-watch.ts'

/** Descriptors older than this did not record provisioning (R5). */
export const descriptorFormatVersion = 1

export interface AuthorityParts {
  readonly deps: ShipperDeps
  readonly options: ShipperOptions
  readonly link: KafkaLink
  readonly facts: SiteFacts
  readonly watch: SiteWatch
  readonly signal: AbortSignal
}

/** One minting at a time: the choice of a partition counts the one before. */
export class Authority {
  readonly #parts: AuthorityParts
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: AuthorityParts) {
    this.#parts = parts
  }

  mint(request: MintRequest): Promise<Minted> {
    const minted = this.#last.then(() => this.#mint(request))
    this.#last = minted.then(nothing, nothing)
    return minted
  }

  async #mint(request: MintRequest): Promise<Minted> {
    const { facts, link, signal, watch } = this.#parts
    await using lent = await link.borrow()
    await watch.caughtUp(lent.log, signal)
    const generation = this.#generationFor(request)
    const descriptor = this.#descriptorFor(request, generation)
    const { diskId } = request
    // Whatever becomes of the produce, it may arrive: no other generation of this agent gets the number (A1).
    facts.sawGeneration(diskId, generation.number)
    const records = [
      {
        key: Buffer.from(`${diskId}/${generation.number}/${generation.id}`),
        value: encodeOwnership({ diskId, generation }),
      },
      { key: Buffer.from(diskId), value: encodeDiskDescriptor(descriptor) },
    ]
    try {
      await lent.log.produce({ topic: topicNames.disks, kafkaPartition: 0, records }, signal)
    } catch (error) {
      link.retire(lent.log)
      throw error
    }
    facts.sawDescriptor(descriptor)
    return { generation, kafkaPartition: descriptor.kafkaPartition }
  }

  #generationFor(request: MintRequest): Generation {
    const { deps, facts, options } = this.#parts
    return {
      number: 1 + Math.max(request.generationSeenMax, facts.generationSeenMax(request.diskId)),
      id: deps.random.hex(16),
      ownerSite: options.site,
      reason: request.reason,
      base: request.base,
      predecessor: request.predecessor,
      stamp: request.stamp,
    }
  }

  #descriptorFor(request: MintRequest, generation: Generation): DiskDescriptor {
    const { diskId, groupId, provisioning, sizeBytes } = request
    return {
      diskId,
      formatVersion: descriptorFormatVersion,
      sizeBytes,
      provisioning,
      groupId,
      kafkaPartition: this.#parts.facts.partitionOf(diskId, request.kafkaPartition),
      ownerSite: this.#parts.options.site,
      generation: generation.number,
      generationId: generation.id,
    }
  }
}

function nothing(): void {
  // The next minting starts whatever became of this one; its own caller hears of its failure.
}
