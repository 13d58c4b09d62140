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

  constructor(slots: ControlSlots, bootId: string) {
    this.#slots = slots
    const { newest } = slots
    this.isNew = newest === null
    this.#current = newest === null ? newControlRecord(bootId) : decodeControlRecord(newest.record)
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
