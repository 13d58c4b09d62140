import type { Stamp } from '@blockferry/disk-stream'
import type { Random } from '@blockferry/runtime'
import type { ControlSlots } from '@blockferry/storage'

/** The stamp advances this often, durably (T5). */
export const stampEveryMs = 5_000

/**
 * The state directory's own logical clock (T5): agent id and a counter that only grows, one fdatasync for
 * all disks. A directory put back from a copy shows by an older stamp.
 */
export class StampStore {
  readonly #slots: ControlSlots
  #newest: Stamp

  private constructor(slots: ControlSlots, found: Stamp) {
    this.#slots = slots
    this.#newest = found
  }

  /** The stamp found, or a new agent's first one, made durable. */
  static async open(slots: ControlSlots, random: Random): Promise<StampStore> {
    const found = slots.newest
    if (found !== null) return new StampStore(slots, JSON.parse(found.record.toString()) as Stamp)
    const first = { agentId: random.hex(16), counter: 1 }
    await slots.write(Buffer.from(JSON.stringify(first)))
    return new StampStore(slots, first)
  }

  /** The newest durable stamp. */
  get newest(): Stamp {
    return this.#newest
  }

  async advance(): Promise<void> {
    const next = { ...this.#newest, counter: this.#newest.counter + 1 }
    await this.#slots.write(Buffer.from(JSON.stringify(next)))
    this.#newest = next
  }

  close(): Promise<void> {
    return this.#slots.close()
  }
}
