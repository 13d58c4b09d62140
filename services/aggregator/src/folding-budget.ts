import { assert } from '@blockferry/runtime'
import { Wake } from './wake.ts'

/**
 * Bytes held by one process between reading and the acknowledged output (A3, G9): open windows, sets being
 * packed, messages on their way. At the limit the largest window closes and nothing more is read; what a
 * single fetch brought may lie above it, no more.
 */
export class FoldingBudget {
  readonly bytesMax: number
  readonly #released = new Wake()
  #heldBytes = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  get isExhausted(): boolean {
    return this.#heldBytes >= this.bytesMax
  }

  /** Counts a change, either way. */
  change(bytes: number): void {
    this.#heldBytes += bytes
    assert(this.#heldBytes >= 0, 'nothing is released twice')
    if (bytes < 0) this.#released.wake()
  }

  /** Resolves when something was released. */
  async released(signal: AbortSignal): Promise<void> {
    await this.#released.wait(signal)
  }
}
