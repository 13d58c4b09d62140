import { AssertionError, type Clock, codeOf } from '@blockferry/runtime'
import { type ReplicationLog, siteTopicSpecs } from '@blockferry/replication-log'
import { fault } from '../error-catalogue.ts'
import type { ShipperDeps, ShipperOptions } from './shipper-ports.ts'

/** Waits between tries while Kafka is away or refuses (K6: never a blind loop). */
export const backOffMsMin = 100
export const backOffMsMax = 5_000

/** A client that its holder may use until it gives it back. */
export interface LentClient extends AsyncDisposable {
  readonly log: ReplicationLog
}

/**
 * The client of this process for Kafka of its site: one for all lanes, made when first needed, made anew after an
 * error (K6), with every topic ensured before it is lent (K3).
 *
 * Invariant KL1: a client is closed when the last of its borrowers gave it back, not when one of them met an error:
 * what goes wrong at one partition ends no produce of another.
 * Invariant KL2: so there are at most as many clients as borrowers, one per lane and two besides.
 */
export class KafkaLink {
  readonly #deps: ShipperDeps
  readonly #options: ShipperOptions
  #client: Promise<ReplicationLog> | null = null
  /** Open clients, and how many use each. */
  readonly #borrowers = new Map<ReplicationLog, number>()
  /** The one that is lent to whoever asks next. */
  #current: ReplicationLog | null = null
  /** The client that is being made ready: closing it ends its waits. */
  #opening: ReplicationLog | null = null
  #closed = false

  constructor(deps: ShipperDeps, options: ShipperOptions) {
    this.#deps = deps
    this.#options = options
  }

  /** @throws what connecting throws; whoever asks again tries again */
  async borrow(): Promise<LentClient> {
    for (;;) {
      this.#client ??= this.#connect()
      const log = await this.#client
      // Another borrower may have met an error of it in the meantime.
      if (this.#current !== log) continue
      this.#borrowers.set(log, (this.#borrowers.get(log) ?? 0) + 1)
      return { log, [Symbol.asyncDispose]: () => this.#giveBack(log) }
    }
  }

  /** False once somebody met an error of the client: give it back. */
  isCurrent(log: ReplicationLog): boolean {
    return this.#current === log
  }

  /** After an error of the client: the next to ask gets a new one (KL1). */
  retire(log: ReplicationLog): void {
    if (this.#current !== log) return
    this.#current = null
    this.#client = null
  }

  async #giveBack(log: ReplicationLog): Promise<void> {
    const left = (this.#borrowers.get(log) ?? 0) - 1
    // Closed with the link while it was lent.
    if (left < 0) return
    this.#borrowers.set(log, left)
    if (left > 0 || this.#current === log) return
    this.#borrowers.delete(log)
    await log.close()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#opening?.close()
    this.#client = null
    this.#current = null
    const open = [...this.#borrowers.keys()]
    this.#borrowers.clear()
    await Promise.all(open.map((log) => log.close()))
  }

  async #connect(): Promise<ReplicationLog> {
    let client: ReplicationLog | null = null
    try {
      client = await this.#deps.connect()
      this.#opening = client
      if (this.#closed) throw fault('KAFKA_UNREACHABLE', 'the agent is stopping')
      const { partitions, peerSite, site } = this.#options
      await client.ensureTopics(siteTopicSpecs({ site, peerSite, partitions }))
      if (this.#closed) throw fault('KAFKA_UNREACHABLE', 'the agent is stopping')
      this.#current = client
      this.#borrowers.set(client, 0)
      return client
    } catch (error) {
      this.#client = null
      await client?.close()
      throw error
    } finally {
      this.#opening = null
    }
  }
}

/** Doubling waits with a cap, reset by success. */
export class BackOff {
  readonly #clock: Clock
  #nextMs = backOffMsMin

  constructor(clock: Clock) {
    this.#clock = clock
  }

  reset(): void {
    this.#nextMs = backOffMsMin
  }

  async wait(signal: AbortSignal): Promise<void> {
    const delayMs = this.#nextMs
    this.#nextMs = Math.min(this.#nextMs * 2, backOffMsMax)
    await this.#clock.sleep(delayMs, signal)
  }
}

/** The code to show for an error at the link. A broken invariant ends the process instead. */
export function linkCodeOf(error: unknown): string {
  if (error instanceof AssertionError) throw error
  const code = codeOf(error)
  // LOG_CLOSED: the link was closed under its borrower, at the end of the agent.
  return code === 'UNKNOWN' || code === 'LOG_CLOSED' ? 'KAFKA_UNREACHABLE' : code
}
