import { codeOf } from '@blockferry/runtime'
import { type FetchOutcome, type FetchRequest, nextAfterDamage } from '@blockferry/replication-log'
import type { KafkaSession } from '../kafka/kafka-session.ts'
import type { ApplierOptions } from '../options.ts'
import type { ApplierDeps } from '../ports.ts'
import type { Volume } from '../volume/volume.ts'
import { DamagedPlaces } from './damaged-places.ts'
import { FetchAhead } from './fetch-ahead.ts'
import type { MirrorTopic } from './mirror-topic.ts'
import type { MirrorWatch } from './mirror-watch.ts'

/** Places to read from, by partition. */
export type Places = ReadonlyMap<number, bigint>

/** A stored batch that stays unreadable: what it held is given up here, and shows as a GAP. */
export interface DamagedBatch {
  readonly kind: 'damaged'
  readonly kafkaPartition: number
  readonly kafkaOffset: bigint
  readonly nextKafkaOffset: bigint
  readonly cause: unknown
}

export type ReadOutcome = Exclude<FetchOutcome, { kind: 'failed' }> | DamagedBatch

type FailedOutcome = Extract<FetchOutcome, { kind: 'failed' }>

/**
 * Fetches from the mirror in one session. A partition that fails is noted, rests, and does not stand in the
 * way of the others (E2); only what ends the session is thrown.
 */
export class MirrorReader {
  readonly #deps: ApplierDeps
  readonly #options: ApplierOptions
  readonly #volume: Volume
  readonly #session: KafkaSession
  readonly #topic: MirrorTopic
  readonly #watch: MirrorWatch
  readonly #ahead: FetchAhead
  readonly #damaged: DamagedPlaces

  constructor(parts: {
    readonly deps: ApplierDeps
    readonly options: ApplierOptions
    readonly volume: Volume
    readonly session: KafkaSession
    readonly topic: MirrorTopic
    readonly watch: MirrorWatch
  }) {
    this.#deps = parts.deps
    this.#options = parts.options
    this.#volume = parts.volume
    this.#session = parts.session
    this.#topic = parts.topic
    this.#watch = parts.watch
    this.#ahead = new FetchAhead(parts.session.log)
    this.#damaged = new DamagedPlaces(parts.options.undecodableTriesMax)
  }

  /** Those of the places that can be asked for now. */
  readable(places: Places): Places {
    return new Map([...places].filter(([kafkaPartition]) => !this.#watch.isResting(kafkaPartition)))
  }

  /** What these places answered, but for the ones that failed. */
  async read(
    places: Places,
    how: { readonly waitMsMax: number; readonly divisor: number; readonly signal: AbortSignal },
  ): Promise<readonly ReadOutcome[]> {
    const outcomes = await this.#ahead.fetch(this.#requestFor(places, how), how.signal)
    const read: ReadOutcome[] = []
    for (const outcome of outcomes) {
      const { kafkaPartition } = outcome
      const found = outcome.kind === 'failed' ? this.#stepOver(outcome, places.get(kafkaPartition)) : outcome
      if (found !== null) {
        this.#watch.read(kafkaPartition)
        read.push(found)
      } else if (outcome.kind === 'failed') this.#fail(outcome)
    }
    return read
  }

  /** The damaged batch that is left behind now; null for another failure, or while it is still tried again. */
  #stepOver({ kafkaPartition, cause }: FailedOutcome, kafkaOffset: bigint | undefined): DamagedBatch | null {
    const nextKafkaOffset = nextAfterDamage(cause)
    if (nextKafkaOffset === null || kafkaOffset === undefined) return null
    const place = { kafkaPartition, kafkaOffset, nextKafkaOffset }
    return this.#damaged.isGivenUp(place) ? { kind: 'damaged', ...place, cause } : null
  }

  /** Begins a fetch that will probably be asked for next. */
  readAhead(places: Places, how: { readonly divisor: number; readonly signal: AbortSignal }): void {
    const wanted = this.readable(places)
    if (wanted.size === 0) return
    const request = this.#requestFor(wanted, { ...how, waitMsMax: this.#options.fetchWaitMsMax })
    this.#ahead.begin(request, how.signal)
  }

  /** Waits for a fetch that nobody will ask for. */
  end(): Promise<void> {
    return this.#ahead.end()
  }

  #requestFor(
    places: Places,
    { divisor, waitMsMax }: { readonly divisor: number; readonly waitMsMax: number },
  ): FetchRequest {
    const { fetchPartitionBytesMax, fetchBytesMax } = this.#options
    const scaled = (bytes: number): number => Math.max(1, Math.floor(bytes / divisor))
    const positions = [...places].map(([kafkaPartition, kafkaOffset]) => ({
      topic: this.#topic.name,
      kafkaPartition,
      kafkaOffset,
    }))
    return {
      positions,
      waitMsMax,
      partitionBytesMax: scaled(fetchPartitionBytesMax),
      bytesMax: scaled(fetchBytesMax),
    }
  }

  #fail({ kafkaPartition, cause }: FailedOutcome): void {
    const code = codeOf(cause)
    this.#volume.stats.fetchFailures += 1
    if (this.#watch.failed(kafkaPartition, cause)) {
      const fields = { event: 'fetch-failed', code, kafkaPartition, err: cause }
      this.#deps.logger.warn(fields, `partition ${kafkaPartition}: ${code}; trying again until it works`)
    }
    this.#session.meet(cause)
  }
}
