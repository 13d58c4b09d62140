import { assert } from '@blockferry/runtime'
import type { TopicPartition } from './replication-log.ts'

/** A map key for a partition; a topic name cannot contain '/'. */
export function partitionKey(partition: TopicPartition): string {
  return `${partition.topic}/${partition.kafkaPartition}`
}

/**
 * Keeps L2: at most one produce outstanding per partition. With two, a retry of the first would land
 * behind the second, and both client libraries were seen to reorder (K6).
 */
export class OnePerPartition {
  readonly #outstanding = new Set<string>()

  async run<T>(partition: TopicPartition, operation: () => Promise<T>): Promise<T> {
    const key = partitionKey(partition)
    assert(!this.#outstanding.has(key), `L2: a produce to ${key} is outstanding`)
    this.#outstanding.add(key)
    try {
      return await operation()
    } finally {
      this.#outstanding.delete(key)
    }
  }
}
