import { assert, codeOf } from '@blockferry/runtime'
import { damagedBatch } from '../damaged-batch.ts'
import { fault } from '../faults.ts'
import type { FetchOutcome, FetchPosition, FetchRequest } from '../replication-log.ts'
import type { MemoryCluster } from './cluster.ts'

/** The long poll of a memory client. */
export class MemoryFetch {
  readonly #cluster: MemoryCluster
  readonly #checkTopic: (topic: string) => void
  #rotation = 0

  constructor(cluster: MemoryCluster, checkTopic: (topic: string) => void) {
    this.#cluster = cluster
    this.#checkTopic = checkTopic
  }

  async run(request: FetchRequest, signal: AbortSignal): Promise<readonly FetchOutcome[]> {
    const { clock } = this.#cluster
    const deadlineMs = clock.monotonicMs() + request.waitMsMax
    for (;;) {
      signal.throwIfAborted()
      const outcomes = this.#collect(request)
      const leftMs = deadlineMs - clock.monotonicMs()
      if (leftMs <= 0 || outcomes.some(isNews)) return outcomes
      await this.#cluster.changeOrDelay(leftMs, signal)
    }
  }

  /** Starts at another partition each time, so that a small `bytesMax` starves none. */
  #collect(request: FetchRequest): readonly FetchOutcome[] {
    const { positions } = request
    const outcomes: FetchOutcome[] = []
    this.#rotation += 1
    let bytesLeft = request.bytesMax
    for (let turn = 0; turn < positions.length; turn += 1) {
      const index = (turn + this.#rotation) % positions.length
      const position = positions[index]
      assert(position !== undefined, 'index is below length')
      const outcome = this.#read(position, Math.min(request.partitionBytesMax, bytesLeft))
      outcomes[index] = outcome
      if (outcome.kind === 'records') {
        for (const record of outcome.records) bytesLeft -= (record.key?.length ?? 0) + record.value.length
      }
    }
    return outcomes
  }

  #read(position: FetchPosition, bytesMax: number): FetchOutcome {
    const { topic, kafkaPartition, kafkaOffset } = position
    const where = { topic, kafkaPartition }
    try {
      if (!this.#cluster.available) throw fault('KAFKA_UNREACHABLE', 'the cluster does not answer')
      this.#checkTopic(topic)
      const partition = this.#cluster.partition(where)
      const { earliest, latest } = partition
      if (kafkaOffset < earliest || kafkaOffset > latest)
        return { ...where, kind: 'outOfRange', earliest, latest }
      const damagedThrough = partition.damagedThrough(kafkaOffset)
      if (damagedThrough !== null)
        throw damagedBatch(position, { problem: 'damaged on purpose', nextKafkaOffset: damagedThrough })
      const records = bytesMax <= 0 ? [] : partition.read(kafkaOffset, bytesMax)
      const nextKafkaOffset = kafkaOffset + BigInt(records.length)
      return { ...where, kind: 'records', records, nextKafkaOffset, highWatermark: latest }
    } catch (cause) {
      return { ...where, kind: 'failed', code: codeOf(cause), cause }
    }
  }
}

/** Worth waking the caller for; a failure is not, it is reported when the wait ends. */
function isNews(outcome: FetchOutcome): boolean {
  return outcome.kind === 'outOfRange' || (outcome.kind === 'records' && outcome.records.length > 0)
}
