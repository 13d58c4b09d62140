/*
 * The way of a guest's request through one disk:
 *
 *   extent lock ─► route ─ numbered ─► number + spool append ─► local write ─► reply
 *                        ├ parked   ─► waits for the next route (AHEAD is being made durable)
 *                        ├ direct   ─► local write ─► reply          (AHEAD: everything is owed)
 *                        └ refused  ─► error                         (FAILED)
 *
 * Invariant P1 (S4): on the numbered route nothing is submitted to the device before its events are in the
 * spool in full, and nothing is answered before the device has done it.
 * Invariant P2 (S5): a local write that failed or fell short is read back and appended before the error goes
 * to the guest, still under its lock; what cannot be read back is owed, durably, before the error goes, or stays in
 * doubt in the spool where the state volume does not answer in time (G1).
 * Invariant P3 (T5): nothing unspooled is submitted before the route is `direct`, which the owner sets only
 * once AHEAD is durable.
 */
import type { Extent, RangeHold, RangeLock, StreamEvent } from '@blockferry/disk-stream'
import { assert } from '@blockferry/runtime'
import type { Allocation, BlockDevice } from '@blockferry/storage'
import { fault } from '../error-catalogue.ts'
import { createFlushGate } from './flush-gate.ts'
import { eventsOf, extentOf, type GuestChange, performChange } from './guest-write.ts'
import { readBackExtent } from './read-back.ts'
import type { SpoolEntry, SpoolWriter } from './spool-writer.ts'
import type { UnfinishedTicket } from './unfinished.ts'

export type Route =
  | { readonly kind: 'numbered'; readonly writer: SpoolWriter }
  | { readonly kind: 'parked' }
  | { readonly kind: 'direct' }
  /** `cause` is what the guest gets: its storage's own error. */
  | { readonly kind: 'refused'; readonly cause: unknown }

/** What the path needs of the disk it belongs to. */
export interface GuestPathOwner {
  readonly sourceTimeMs: () => number
  /** Local storage failed beyond a single write; resolves when everything is owed durably, or writes are refused (G1). */
  storageFailed(error: unknown): Promise<void>
  /** Resolves once AHEAD is durable, at once when it is; or when writes are refused (G1). */
  owedDurably(): Promise<void>
}

export class GuestPath {
  readonly #lock: RangeLock
  readonly #owner: GuestPathOwner
  #device: BlockDevice | null
  #route: Route = { kind: 'parked' }
  #parked: GuestOperation[] = []
  #inFlight = 0
  #idleWaiters: (() => void)[] = []
  readonly #flushGate = createFlushGate(() => this.#requireDevice().flush())

  constructor(deps: {
    readonly device: BlockDevice
    readonly lock: RangeLock
    readonly owner: GuestPathOwner
  }) {
    this.#device = deps.device
    this.#lock = deps.lock
    this.#owner = deps.owner
  }

  /** Changes under way, parked ones included, and flushes. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** Takes effect at once for everything that has its lock and waits. */
  setRoute(route: Route): void {
    this.#route = route
    if (route.kind === 'parked') return
    const parked = this.#parked
    this.#parked = []
    for (const operation of parked) this.dispatch(operation)
  }

  /** Null while the storage is being reopened: reads and writes fail with EIO until it is back. */
  setDevice(device: BlockDevice | null): void {
    this.#device = device
  }

  /** Reads go straight to the device (S4: it holds nothing that the stream does not). */
  async read(byteOffset: number, byteLength: number): Promise<Buffer> {
    const into = Buffer.allocUnsafe(byteLength)
    await this.#requireDevice().read(byteOffset, into)
    return into
  }

  /** What of an extent is a hole; EIO while the storage is being reopened, as for reads. */
  async allocations(extent: Extent, entriesMax: number): Promise<readonly Allocation[]> {
    return this.#requireDevice().allocations(extent, entriesMax)
  }

  change(change: GuestChange, options: { readonly fua: boolean }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#inFlight += 1
      const operation = new GuestOperation({ path: this, change, fua: options.fua, resolve, reject })
      const extent = extentOf(change)
      const hold = this.#lock.tryAcquire(extent)
      if (hold !== null) operation.lockGranted(hold)
      else void this.#lock.acquire(extent).then((granted) => operation.lockGranted(granted))
    })
  }

  /** Everything answered before the call is on the device durably after it (T1). */
  async flush(): Promise<void> {
    this.#inFlight += 1
    try {
      await this.#flushGate.flush()
    } catch (error) {
      await this.#owner.storageFailed(error)
      throw error
    } finally {
      this.#oneLess()
    }
  }

  /** Resolves when no change and no flush is under way. */
  async idle(): Promise<void> {
    if (this.#inFlight === 0) return
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve))
  }

  /** The operation has its lock: sends it along the route of this moment. */
  dispatch(operation: GuestOperation): void {
    const route = this.#route
    switch (route.kind) {
      case 'numbered':
        if (route.writer.stopped) this.#parked.push(operation)
        else operation.number(route.writer, this.#owner.sourceTimeMs())
        break
      case 'parked':
        this.#parked.push(operation)
        break
      case 'direct':
        this.perform(operation)
        break
      case 'refused':
        this.#settle(operation, { error: route.cause })
        break
    }
  }

  /** Its events are not in the spool: waits for the route that follows (S4). */
  park(operation: GuestOperation): void {
    this.#parked.push(operation)
  }

  /** Submits the change to the device (P1, P3). */
  perform(operation: GuestOperation): void {
    let done: Promise<void>
    try {
      done = performChange(this.#requireDevice(), operation.change)
    } catch (error) {
      done = Promise.reject(error)
    }
    done.then(
      () => this.#performed(operation),
      (error: unknown) => void this.#performFailed(operation, error),
    )
  }

  #performed(operation: GuestOperation): void {
    if (!operation.fua) {
      this.#settle(operation, 'done')
      return
    }
    this.#letGo(operation)
    this.flush().then(
      () => this.#answer(operation, 'done'),
      (error: unknown) => this.#answer(operation, { error }),
    )
  }

  /** P2. */
  async #performFailed(operation: GuestOperation, error: unknown): Promise<void> {
    if (operation.ticket !== null && !(await this.#readBack(operation))) await this.#owner.owedDurably()
    this.#settle(operation, { error })
  }

  async #readBack(operation: GuestOperation): Promise<boolean> {
    const route = this.#route
    if (route.kind !== 'numbered') return false
    const { sourceTimeMs } = this.#owner
    try {
      const device = this.#requireDevice()
      return await readBackExtent({ device, writer: route.writer, sourceTimeMs }, extentOf(operation.change))
    } catch (error) {
      await this.#owner.storageFailed(error)
      return false
    }
  }

  #requireDevice(): BlockDevice {
    if (this.#device !== null) return this.#device
    throw Object.assign(fault('WRITE_REFUSED', 'the storage is being reopened'), { errno: 'EIO' })
  }

  #settle(operation: GuestOperation, outcome: Outcome): void {
    this.#letGo(operation)
    this.#answer(operation, outcome)
  }

  /** Its sequences are finished; whoever waits for the extent goes on. */
  #letGo(operation: GuestOperation): void {
    if (operation.ticket !== null) operation.ticket.finished = true
    assert(operation.hold !== null, 'an operation that ends holds its lock')
    operation.hold.release()
  }

  #answer(operation: GuestOperation, outcome: Outcome): void {
    if (outcome === 'done') operation.resolve()
    else operation.reject(outcome.error)
    this.#oneLess()
  }

  #oneLess(): void {
    this.#inFlight -= 1
    if (this.#inFlight > 0) return
    const waiters = this.#idleWaiters
    this.#idleWaiters = []
    for (const wake of waiters) wake()
  }
}

type Outcome = 'done' | { readonly error: unknown }

interface OperationFacts {
  readonly path: GuestPath
  readonly change: GuestChange
  readonly fua: boolean
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** One change of the guest: one object from request to reply, no closures on the way. */
class GuestOperation implements SpoolEntry {
  readonly change: GuestChange
  readonly fua: boolean
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
  readonly writesLocally = true
  readonly #path: GuestPath
  events: readonly StreamEvent[] = []
  data: readonly Buffer[] = []
  hold: RangeHold | null = null
  ticket: UnfinishedTicket | null = null

  constructor(facts: OperationFacts) {
    this.#path = facts.path
    this.change = facts.change
    this.fua = facts.fua
    this.resolve = facts.resolve
    this.reject = facts.reject
  }

  lockGranted(hold: RangeHold): void {
    this.hold = hold
    this.#path.dispatch(this)
  }

  number(writer: SpoolWriter, capturedAtMs: number): void {
    const { events, data } = eventsOf(this.change, capturedAtMs)
    this.events = events
    this.data = data
    writer.enqueue(this)
  }

  appended(ticket: UnfinishedTicket | null): void {
    this.ticket = ticket
    this.#path.perform(this)
  }

  lost(): void {
    this.#path.park(this)
  }
}
