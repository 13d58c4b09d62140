import { assert } from '@blockferry/runtime'
import type { BrokerConnections } from './broker-connections.ts'

/**
 * Connections for long polls: one set for each fetch under way, kept for the next. A broker answers one
 * connection's requests in order, so a fetch that waits would hold up any other behind it.
 */
export class FetchLanes {
  readonly #open: () => BrokerConnections
  readonly #fetchesMax: number
  readonly #free: BrokerConnections[] = []
  readonly #busy = new Set<BrokerConnections>()

  constructor(open: () => BrokerConnections, fetchesMax: number) {
    this.#open = open
    this.#fetchesMax = fetchesMax
  }

  async run<T>(fetch: (connections: BrokerConnections) => Promise<T>): Promise<T> {
    assert(this.#busy.size < this.#fetchesMax, `at most ${this.#fetchesMax} fetches at a time`)
    const connections = this.#free.pop() ?? this.#open()
    this.#busy.add(connections)
    try {
      return await fetch(connections)
    } finally {
      this.#busy.delete(connections)
      this.#free.push(connections)
    }
  }

  close(): void {
    for (const connections of [...this.#free, ...this.#busy]) connections.close()
  }
}
