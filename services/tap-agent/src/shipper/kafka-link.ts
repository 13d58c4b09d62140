import { AssertionError, type Clock, codeOf } from '@blockferry/runtime'
import { type ReplicationLog, siteTopicSpecs } from '@blockferry/replication-log'
import { fault } from '../error-catalogue.ts'
import type { ShipperDeps, ShipperOptions } from './shipper-ports.ts'

/** Waits between tries while Kafka is away or refuses (K6: never a blind loop). */
export const backOffMsMin = 100
export const backOffMsMax = 5_000

/**
 * The one client of this process for Kafka of its site: made when first needed, thrown away and made anew
 * after an error (K6), with every topic ensured before it is handed out (K3).
 */
export class KafkaLink {
  readonly #deps: ShipperDeps
  readonly #options: ShipperOptions
  #client: Promise<ReplicationLog> | null = null
  /** The client that is being made ready: closing it ends its waits. */
  #opening: ReplicationLog | null = null
  #closed = false

  constructor(deps: ShipperDeps, options: ShipperOptions) {
    this.#deps = deps
    this.#options = options
  }

  client(): Promise<ReplicationLog> {
    this.#client ??= this.#connect()
    return this.#client
  }

  /** Throws the client away after an error of its; another caller may have done so already. */
  async discard(client: ReplicationLog): Promise<void> {
    const current = this.#client
    if (current === null || (await settled(current)) !== client) return
    if (this.#client === current) this.#client = null
    await client.close()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#opening?.close()
    const current = this.#client
    this.#client = null
    const client = current === null ? null : await settled(current)
    await client?.close()
  }

  async #connect(): Promise<ReplicationLog> {
    let client: ReplicationLog | null = null
    try {
      client = await this.#deps.connect()
      this.#opening = client
      if (this.#closed) throw fault('KAFKA_UNREACHABLE', 'the agent is stopping')
      const { partitions, peerSite, site } = this.#options
      await client.ensureTopics(siteTopicSpecs({ site, peerSite, partitions }))
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

async function settled(client: Promise<ReplicationLog>): Promise<ReplicationLog | null> {
  try {
    return await client
  } catch {
    return null
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
  // LOG_CLOSED: another loop met the trouble first and threw the shared client away.
  return code === 'UNKNOWN' || code === 'LOG_CLOSED' ? 'KAFKA_UNREACHABLE' : code
}
