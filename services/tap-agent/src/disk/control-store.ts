/*
 * Invariant D1: `update` resolves only after its change is durable; updates made while one is being written
 * share the next write, in the order they were made.
 * Invariant D2: `current` is what start-up would believe now; a failed write changes nothing.
 */
import type { ControlSlots } from '@blockferry/storage'
import {
  type ControlRecord,
  decodeControlRecord,
  encodeControlRecord,
  newControlRecord,
} from './control-record.ts'

/** Nothing is left, or the newest record may have rotted (or was being written when the host died). */
export type ControlDamage = 'CONTROL_LOST' | 'CONTROL_DAMAGED'

interface Pending {
  readonly patch: Partial<ControlRecord>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class ControlStore {
  readonly #slots: ControlSlots
  #current: ControlRecord
  #pending: Pending[] = []
  #writing = false
  /** True when the slots held nothing: a disk this state directory does not know. */
  readonly isNew: boolean
  /** Why what the slots say may not be the newest that was durable; null when it is. */
  readonly damage: ControlDamage | null

  constructor(slots: ControlSlots, bootId: string) {
    this.#slots = slots
    const { bothSlotsCorrupt, newest, oneSlotCorrupt } = slots.found
    const record = newest === null ? null : decodeControlRecord(newest.record)
    const isDamaged = oneSlotCorrupt || bothSlotsCorrupt
    this.isNew = newest === null && !isDamaged
    if (record === null) this.damage = this.isNew ? null : 'CONTROL_LOST'
    else this.damage = isDamaged ? 'CONTROL_DAMAGED' : null
    this.#current = record ?? newControlRecord(bootId)
  }

  get current(): ControlRecord {
    return this.#current
  }

  update(patch: Partial<ControlRecord>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ patch, resolve, reject })
      if (!this.#writing) void this.#writeAll()
    })
  }

  async #writeAll(): Promise<void> {
    this.#writing = true
    while (this.#pending.length > 0) {
      const batch = this.#pending
      this.#pending = []
      let next = this.#current
      for (const { patch } of batch) next = { ...next, ...patch }
      try {
        await this.#slots.write(encodeControlRecord(next))
        this.#current = next
        for (const { resolve } of batch) resolve()
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#writing = false
  }

  close(): Promise<void> {
    return this.#slots.close()
  }
}
