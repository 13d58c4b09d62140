import { assert, MiB } from '@blockferry/runtime'
import type { Extent } from './event.ts'
import { extentEnd, extentsOverlap } from './extent.ts'

/*
 * Exclusive locks on extents of one disk (S4, S8).
 *
 * Invariant E1: two holders never overlap.
 * Invariant E2: of two that overlap, the one that asked first holds first, also when both wait; so overlapping
 * writes have one order everywhere, and nobody starves.
 * Invariant E3: one that overlaps nobody before it, holding or waiting, holds at once.
 * Invariant E4: no timers and no other order than that of calls: deterministic.
 */

/** Most outstanding requests, holding and waiting; the in-flight byte budget (T1) stays far below. */
export const rangeLockOutstandingMax = 65_536

const bucketBytes = 1 * MiB
/** An extent over more buckets than this is compared with everybody instead. */
const bucketsPerRequestMax = 64

/** A held extent. */
export interface RangeHold {
  readonly extent: Extent
  /** Gives the extent free; the next in order hold it before this returns (their promises are resolved). Once only. */
  release(): void
}

class Request implements RangeHold {
  readonly extent: Extent
  readonly #owner: RangeLock
  /** Earlier overlapping requests that have not been released. */
  blockers = 0
  /** Later overlapping requests that wait for this one. */
  readonly followers: Request[] = []
  granted: ((hold: RangeHold) => void) | null = null
  /** Number of the last search that met this request: it may stand in several buckets. */
  metBy = 0

  constructor(owner: RangeLock, extent: Extent) {
    this.#owner = owner
    this.extent = extent
  }

  release(): void {
    this.#owner.releaseRequest(this)
  }
}

function bucketsOf(extent: Extent): { readonly first: number; readonly last: number } | null {
  const first = Math.floor(extent.byteOffset / bucketBytes)
  const last = Math.floor((extentEnd(extent) - 1) / bucketBytes)
  return last - first < bucketsPerRequestMax ? { first, last } : null
}

/** A first-come-first-served lock over the extents of one disk (E1–E4). */
export class RangeLock {
  readonly #outstanding = new Set<Request>()
  readonly #wide = new Set<Request>()
  readonly #buckets = new Map<number, Set<Request>>()
  #searches = 0

  /** Requests that hold or wait. */
  get outstanding(): number {
    return this.#outstanding.size
  }

  /** Holds the extent at once if nobody before overlaps it, else null, and then has not queued. */
  tryAcquire(extent: Extent): RangeHold | null {
    const earlier = this.#overlapping(extent)
    return earlier.length === 0 ? this.#enter(extent, earlier) : null
  }

  /** Resolves when the extent is held (E2). */
  acquire(extent: Extent): Promise<RangeHold> {
    const request = this.#enter(extent, this.#overlapping(extent))
    if (request.blockers === 0) return Promise.resolve(request)
    return new Promise((resolve) => {
      request.granted = resolve
    })
  }

  /** For `RangeHold.release` only. */
  releaseRequest(request: Request): void {
    assert(request.blockers === 0, 'only a holder releases')
    assert(this.#outstanding.delete(request), 'a hold is released once')
    this.#leave(request)
    for (const follower of request.followers) {
      follower.blockers -= 1
      if (follower.blockers === 0) follower.granted?.(follower)
    }
  }

  #enter(extent: Extent, earlier: readonly Request[]): Request {
    assert(extent.byteLength > 0, 'an extent to be locked has at least one byte')
    assert(this.#outstanding.size < rangeLockOutstandingMax, 'the in-flight budget bounds the lock')
    const request = new Request(this, extent)
    request.blockers = earlier.length
    for (const blocker of earlier) blocker.followers.push(request)
    this.#outstanding.add(request)
    const buckets = bucketsOf(extent)
    if (buckets === null) this.#wide.add(request)
    else for (let at = buckets.first; at <= buckets.last; at += 1) this.#bucket(at).add(request)
    return request
  }

  #leave(request: Request): void {
    const buckets = bucketsOf(request.extent)
    if (buckets === null) {
      this.#wide.delete(request)
      return
    }
    for (let at = buckets.first; at <= buckets.last; at += 1) {
      const bucket = this.#bucket(at)
      bucket.delete(request)
      if (bucket.size === 0) this.#buckets.delete(at)
    }
  }

  #bucket(at: number): Set<Request> {
    let bucket = this.#buckets.get(at)
    if (bucket === undefined) {
      bucket = new Set()
      this.#buckets.set(at, bucket)
    }
    return bucket
  }

  #overlapping(extent: Extent): readonly Request[] {
    if (this.#outstanding.size === 0) return []
    this.#searches += 1
    const met: Request[] = []
    const buckets = bucketsOf(extent)
    if (buckets === null) {
      this.#meet(extent, { among: this.#outstanding, met })
      return met
    }
    for (let at = buckets.first; at <= buckets.last; at += 1) {
      const among = this.#buckets.get(at)
      if (among !== undefined) this.#meet(extent, { among, met })
    }
    this.#meet(extent, { among: this.#wide, met })
    return met
  }

  #meet(extent: Extent, search: { readonly among: Iterable<Request>; readonly met: Request[] }): void {
    for (const request of search.among) {
      if (request.metBy === this.#searches || !extentsOverlap(request.extent, extent)) continue
      request.metBy = this.#searches
      search.met.push(request)
    }
  }
}
