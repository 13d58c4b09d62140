import type { Stamp } from '@blockferry/disk-stream'
import type { Random } from '@blockferry/runtime'
import type { ControlSlots } from '@blockferry/storage'

/** The stamp advances this often, durably (T5). */
export const stampEveryMs = 5_000

/** `STAMP_LOST`: the agent has a new id. */
export type StampDamage = 'STAMP_DAMAGED' | 'STAMP_LOST'

/**
 * The state directory's own logical clock (T5): agent id and a counter that only grows, one fdatasync for
 * all disks. A directory put back from a copy shows by an older stamp.
 */
export class StampStore {
  readonly #slots: ControlSlots
  #newest: Stamp
  /** What the slots had lost when they were opened; null when nothing. */
  readonly damage: StampDamage | null

  private constructor(slots: ControlSlots, found: Stamp, damage: StampDamage | null) {
    this.#slots = slots
    this.#newest = found
    this.damage = damage
  }

  /**
   * The stamp found, or a new agent's first one, made durable. The slots begin anew when both are bad: disks and their
   * spools have checksums of their own, so a lost stamp is no reason to leave guests unserved, nor to resynchronise.
   */
  static async open(slots: ControlSlots, random: Random): Promise<StampStore> {
    const { bothSlotsCorrupt, newest, oneSlotCorrupt } = slots.found
    if (newest === null) {
      const damage = oneSlotCorrupt || bothSlotsCorrupt ? 'STAMP_LOST' : null
      const store = new StampStore(slots, { agentId: random.hex(16), counter: 0 }, damage)
      await store.advance()
      return store
    }
    const found = JSON.parse(newest.record.toString()) as Stamp
    if (!oneSlotCorrupt) return new StampStore(slots, found, null)
    // The bad slot may have held the next one, which the target may have seen: going back looks like a reverted copy.
    const beyond = { ...found, counter: found.counter + 1 }
    const store = new StampStore(slots, beyond, 'STAMP_DAMAGED')
    await store.advance()
    return store
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
