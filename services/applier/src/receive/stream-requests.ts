import { AssertionError, type Clock, type Random } from '@blockferry/runtime'
import type { RequestKind, StreamRequest } from '@blockferry/disk-stream'
import { topicNames } from '@blockferry/replication-log'
import { encodeStreamRequest } from '@blockferry/schemas'
import type { KafkaSession } from '../kafka/kafka-session.ts'
import type { ApplierOptions } from '../options.ts'
import type { ApplierLogger } from '../ports.ts'

/** Requests that wait for Kafka B; one per disk and kind, the newest wins. */
const pendingMax = 4_096

export interface RequestWanted {
  readonly kind: RequestKind
  readonly diskId: string
  readonly expectedGeneration: number
  /** First sequence wanted; 1 for a resync. */
  readonly fromSequence: number
  readonly reason: string
  readonly lifetimeMs: number
}

/** What the target asks of the source, in the topic `requests` of its own site. */
export class StreamRequests {
  readonly #deps: {
    readonly clock: Clock
    readonly random: Random
    readonly logger: ApplierLogger
  }
  readonly #options: ApplierOptions
  readonly #pending = new Map<string, StreamRequest>()

  constructor(
    deps: {
      readonly clock: Clock
      readonly random: Random
      readonly logger: ApplierLogger
    },
    options: ApplierOptions,
  ) {
    this.#deps = deps
    this.#options = options
  }

  /** Queues a request; `run` sends it as soon as Kafka B takes it. */
  ask(wanted: RequestWanted): void {
    const { clock, random, logger } = this.#deps
    const createdAtMs = clock.wallMs()
    const { lifetimeMs, ...fields } = wanted
    const request = {
      ...fields,
      requestId: random.hex(16),
      createdAtMs,
      expiresAtMs: createdAtMs + lifetimeMs,
    }
    if (this.#pending.size < pendingMax) this.#pending.set(`${wanted.kind}/${wanted.diskId}`, request)
    logger.warn(
      { event: 'stream-request', ...fields, requestId: request.requestId },
      `asking the source of ${wanted.diskId} for a ${wanted.kind}: ${wanted.reason}`,
    )
  }

  /** Sends what is asked for, in this session, until the signal aborts. Throws what ends the session. */
  async run(session: KafkaSession, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps
    while (!signal.aborted) {
      try {
        await this.#send(session, signal)
      } catch (error) {
        if (error instanceof AssertionError) throw error
        if (signal.aborted) return
        session.meet(error)
        logger.warn(
          { event: 'request-failed', err: error },
          'a request to the source could not be sent; trying again',
        )
        await clock.sleep(this.#options.retryMsMax, signal)
      }
      await clock.sleep(this.#options.reportIntervalMsMin, signal)
    }
  }

  async #send(session: KafkaSession, signal: AbortSignal): Promise<void> {
    const sent = [...this.#pending]
    if (sent.length === 0) return
    const records = sent.map(([, request]) => ({
      key: Buffer.from(request.diskId, 'utf8'),
      value: encodeStreamRequest(request),
    }))
    await session.log.produce({ topic: topicNames.requests, kafkaPartition: 0, records }, signal)
    for (const [key, request] of sent) if (this.#pending.get(key) === request) this.#pending.delete(key)
  }
}
