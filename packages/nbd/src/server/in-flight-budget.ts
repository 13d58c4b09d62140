import { assert } from '@blockferry/runtime'

/**
 * The in-flight byte budget of one process (T1, G9), shared fairly between exports.
 *
 * Invariant B1: admitted bytes never exceed `bytesMax` plus one request, the one in the lane.
 * Invariant B2: an export may hold at most as much as it leaves free, so that one whose storage hangs
 * never takes all: n hanging exports leave 1/(n+1) of the budget to the others.
 * Invariant B3: a waiter is admitted as soon as it fits, the export holding least first; nobody is refused.
 *
 * The lane: one request at a time passes beside the budget. It is for a request above an eighth of the
 * budget (waiting until that much is free at once could last for ever beside busy neighbours), and for an
 * export that holds nothing and would otherwise starve.
 */
export class InFlightBudget {
  readonly bytesMax: number
  readonly #largeBytes: number
  #usedBytes = 0
  #laneTaken = false
  #laneBytes = 0
  #waiters: BudgetWaiter[] = []

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
    this.#largeBytes = Math.floor(bytesMax / 8)
  }

  /** Bytes admitted and not released, the lane's apart. */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Bytes of the request in the lane; 0 while it is free. */
  get laneBytes(): number {
    return this.#laneBytes
  }

  get waiting(): number {
    return this.#waiters.length
  }

  /** A grant: the bytes are the account's until it is released. Undefined: call `wait`. */
  tryAdmit(account: BudgetAccount, byteLength: number): BudgetGrant | undefined {
    const large = byteLength > this.#largeBytes
    const freeBytes = this.bytesMax - this.#usedBytes - byteLength
    const fair = account.usedBytes === 0 || account.usedBytes + byteLength <= freeBytes
    if (!large && freeBytes >= 0 && fair) {
      this.#usedBytes += byteLength
      account.usedBytes += byteLength
      return 'share'
    }
    if (this.#laneTaken || !(large || account.usedBytes === 0)) return undefined
    this.#laneTaken = true
    this.#laneBytes = byteLength
    return 'lane'
  }

  /** Calls `admitted` once, as soon as the bytes are the account's. */
  wait(waiter: BudgetWaiter): void {
    this.#waiters.push(waiter)
  }

  /** A connection that closed no longer waits. */
  forget(waiter: BudgetWaiter): void {
    this.#waiters = this.#waiters.filter((other) => other !== waiter)
  }

  release(account: BudgetAccount, byteLength: number, grant: BudgetGrant): void {
    if (grant === 'lane') {
      assert(this.#laneTaken, 'B1: the lane is released once')
      this.#laneTaken = false
      this.#laneBytes = 0
    } else {
      this.#usedBytes -= byteLength
      account.usedBytes -= byteLength
      assert(account.usedBytes >= 0 && this.#usedBytes >= 0, 'B1: a share is released once')
    }
    if (this.#waiters.length > 0) this.#admitWaiters()
  }

  #admitWaiters(): void {
    const inFairOrder = this.#waiters.toSorted((a, b) => a.account.usedBytes - b.account.usedBytes)
    for (const waiter of inFairOrder) {
      // An earlier waiter's callback may have closed this one's connection.
      if (!this.#waiters.includes(waiter)) continue
      const grant = this.tryAdmit(waiter.account, waiter.byteLength)
      if (grant === undefined) continue
      this.forget(waiter)
      waiter.admitted(grant)
    }
  }
}

/** How bytes were admitted; given back with the release. */
export type BudgetGrant = 'share' | 'lane'

/** What one export holds of the budget. */
export interface BudgetAccount {
  usedBytes: number
}

export interface BudgetWaiter {
  readonly account: BudgetAccount
  readonly byteLength: number
  readonly admitted: (grant: BudgetGrant) => void
}
