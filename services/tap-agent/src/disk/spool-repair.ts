import type { Clock } from '@blockferry/runtime'
import { type DiskModes, rethrowAssertion } from './disk-modes.ts'
import type { SpoolKeeper } from './spool-keeper.ts'

/** Between two tries to drop a spool that is lost, on a volume that may still be failing. */
export const dropRetryMs = 10_000

export interface SpoolRepairDeps {
  readonly clock: Clock
  readonly modes: DiskModes
  readonly keeper: SpoolKeeper
  readonly onTrouble: (error: unknown) => void
}

/** Gets a disk in AHEAD rid of a spool that cannot be read or synced any more, so that it can begin anew (K3). */
export class SpoolRepair {
  readonly #deps: SpoolRepairDeps
  #dueMs = 0
  #isDropping = false

  constructor(deps: SpoolRepairDeps) {
    this.#deps = deps
  }

  /** Once a second. Never rejects but for a broken invariant. */
  async tend(): Promise<void> {
    const { clock, keeper, modes, onTrouble } = this.#deps
    const nowMs = clock.monotonicMs()
    if (modes.record.mode !== 'AHEAD' || !keeper.isLost || this.#isDropping || nowMs < this.#dueMs) return
    this.#dueMs = nowMs + dropRetryMs
    this.#isDropping = true
    try {
      await modes.inAhead(() => keeper.drop(modes.record.endPosition))
    } catch (error) {
      rethrowAssertion(error)
      onTrouble(error)
    } finally {
      this.#isDropping = false
    }
  }
}
