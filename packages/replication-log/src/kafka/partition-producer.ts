import { Fault } from '@blockferry/runtime'
import { fault } from '../faults.ts'
import type { OutgoingRecord, TopicPartition } from '../replication-log.ts'
import type { BrokerConnections } from './broker-connections.ts'
import type { ClusterView } from './cluster-view.ts'
import type { Broker } from './exchanges.ts'
import { isTransient, isUnknownTopic, responseFault } from './kafka-error.ts'
import type { ConnectionLimits } from './limits.ts'
import { type BatchIdentity, encodeRecordBatch } from './record-batch.ts'
import { retrying } from './retry.ts'

/*
 * Invariant P1: (producer id, epoch, sequence) names one batch for ever. While its outcome is unknown the
 *   same bytes are sent again, and the broker drops what it has.
 * Invariant P2: after a throw nothing is sent under the old epoch. The next batch goes out with the epoch
 *   raised and sequence 0: a late arrival of the old bytes is then refused by the broker, so it cannot land
 *   behind newer records. Raising it ourselves is what Kafka's own client does (KIP-360).
 * Invariant P3: a session belongs to one partition, so a failure here leaves the others alone.
 */

const epochMax = 32_766
const sequenceSpan = 2 ** 31

interface FrozenBatch {
  readonly bytes: Buffer
  readonly identity: BatchIdentity
  readonly records: number
}

/** Sends batches to one partition, one at a time (L2 is asserted by the client). */
export class PartitionProducer {
  readonly #partition: TopicPartition
  readonly #view: ClusterView
  readonly #connections: BrokerConnections
  readonly #limits: ConnectionLimits
  #next: BatchIdentity | null = null
  /**
   * The bytes of the last batch, written over by the next: fresh megabytes for each batch keep the
   * collector busy. Only a batch that was acknowledged leaves its buffer to the next one (P1).
   */
  #kept: Buffer = Buffer.alloc(0)

  constructor(options: {
    readonly partition: TopicPartition
    readonly view: ClusterView
    readonly connections: BrokerConnections
    readonly limits: ConnectionLimits
  }) {
    this.#partition = options.partition
    this.#view = options.view
    this.#connections = options.connections
    this.#limits = options.limits
  }

  /** Returns the offset of the first record once all replicas have the batch, or throws. */
  async send(records: readonly OutgoingRecord[], signal?: AbortSignal): Promise<bigint> {
    const retry = { limits: this.#limits, deadlineMs: this.#limits.produceDeadlineMs, signal }
    this.#checkSize(records)
    this.#next ??= await retrying(() => this.#beginSession(signal), retry)
    const batch = this.#freeze(records, this.#next)
    try {
      const firstKafkaOffset = await retrying(() => this.#sendOnce(batch, signal), retry)
      this.#next = following(batch)
      return firstKafkaOffset
    } catch (error) {
      this.#next = afterFailure(batch.identity, error)
      this.#kept = Buffer.alloc(0)
      throw error
    }
  }

  #checkSize(records: readonly OutgoingRecord[]): void {
    const bytes = records.reduce((sum, { key, value }) => sum + key.length + value.length, 0)
    const bytesMax = this.#limits.batchBytesMax
    if (bytes <= bytesMax) return
    const { topic } = this.#partition
    throw fault(
      'RECORD_TOO_LARGE',
      `a batch of ${bytes} bytes to ${topic}; this client sends at most ${bytesMax}`,
      {
        details: { bytes, bytesMax },
      },
    )
  }

  async #beginSession(signal: AbortSignal | undefined): Promise<BatchIdentity> {
    const answer = await this.#view.withAnyBroker((broker) =>
      this.#connections.call(
        broker,
        { ask: 'beginSession', of: null },
        { timeoutMs: this.#limits.requestTimeoutMs, signal },
      ),
    )
    if (answer.errorCode !== 0) throw responseFault(answer.errorCode, 'a producer session')
    return { producerId: answer.producerId, producerEpoch: answer.producerEpoch, firstSequence: 0 }
  }

  #freeze(records: readonly OutgoingRecord[], identity: BatchIdentity): FrozenBatch {
    const bytes = encodeRecordBatch(records, { identity, timestampMs: Date.now(), into: this.#kept })
    if (bytes.length > this.#kept.length) this.#kept = bytes
    return { bytes, identity, records: records.length }
  }

  async #sendOnce(batch: FrozenBatch, signal: AbortSignal | undefined): Promise<bigint> {
    try {
      const { broker } = await this.#view.leader(this.#partition)
      return await this.#exchange(broker, batch, signal)
    } catch (error) {
      // Whatever went wrong, the leader may have moved.
      if (isTransient(error) || isUnknownTopic(error)) this.#view.forget(this.#partition.topic)
      throw error
    }
  }

  async #exchange(broker: Broker, batch: FrozenBatch, signal: AbortSignal | undefined): Promise<bigint> {
    const { topic, kafkaPartition } = this.#partition
    const timeoutMs = this.#limits.requestTimeoutMs
    const answer = await this.#connections.call(
      broker,
      { ask: 'produce', of: { topic, kafkaPartition, batch: batch.bytes, timeoutMs } },
      { timeoutMs, signal },
    )
    if (answer.errorCode !== 0) {
      const why = answer.errorMessage === null ? '' : ` (${answer.errorMessage})`
      throw responseFault(answer.errorCode, `${batch.bytes.length} bytes to ${topic}/${kafkaPartition}${why}`)
    }
    return answer.firstKafkaOffset
  }
}

function following({ identity, records }: FrozenBatch): BatchIdentity {
  return { ...identity, firstSequence: (identity.firstSequence + records) % sequenceSpan }
}

/** Kafka's answers that end a producer id; after any other failure raising the epoch is enough. */
const sessionEnding = new Set(['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED', 'INVALID_PRODUCER_ID_MAPPING'])

/** P2. */
function afterFailure(identity: BatchIdentity, error: unknown): BatchIdentity | null {
  const ended = error instanceof Fault && sessionEnding.has(String(error.details['kafkaError']))
  if (ended || identity.producerEpoch >= epochMax) return null
  return { ...identity, producerEpoch: identity.producerEpoch + 1, firstSequence: 0 }
}
