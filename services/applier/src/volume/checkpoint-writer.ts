import { assert } from '@blockferry/runtime'
import type { ControlSlots } from '@blockferry/storage'

/**
 * Writes the volume's checkpoint, one write at a time. Callers that come while a write flies share the
 * next one: a thousand disks cost no more fdatasyncs than one.
 *
 * Invariant: `snapshot` is taken when a write begins, and holds only what is already durable by itself
 * (image flushed, recovery points indexed, frames in the journal).
 */
export class CheckpointWriter {
  readonly #slots: ControlSlots
  readonly #snapshot: () => { readonly record: Buffer; readonly written: () => Promise<void> }
  #running: Promise<void> | null = null
  #next: Promise<void> | null = null
  #writes = 0

  constructor(
    slots: ControlSlots,
    snapshot: () => { readonly record: Buffer; readonly written: () => Promise<void> },
  ) {
    this.#slots = slots
    this.#snapshot = snapshot
  }

  get writes(): number {
    return this.#writes
  }

  /** Resolves when a checkpoint that was begun after the call is durable. */
  commit(): Promise<void> {
    if (this.#running === null) return this.#start()
    this.#next ??= this.#running.then(
      () => this.#startNext(),
      () => this.#startNext(),
    )
    return this.#next
  }

  #startNext(): Promise<void> {
    this.#next = null
    return this.commit()
  }

  #start(): Promise<void> {
    assert(this.#running === null, 'one checkpoint write at a time')
    const running = this.#write().finally(() => {
      this.#running = null
    })
    this.#running = running
    return running
  }

  async #write(): Promise<void> {
    const { record, written } = this.#snapshot()
    await this.#slots.write(record)
    this.#writes += 1
    await written()
  }
}
