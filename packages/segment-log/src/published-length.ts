import type { Lsn } from './segment-log.ts'

/**
 * How far a log may be read: `appendedThrough`, as the writer last stored it. The writer stores it only
 * after an append is complete, so whoever loads it may read every byte below.
 */
export interface PublishedLength {
  load(): Lsn
  store(lsn: Lsn): void
}

/** Bytes of shared memory a shared published length needs. */
export const publishedLengthBytes = 8

/**
 * A published length in shared memory, for a reader in another thread. Each store wakes whoever waits
 * for it (`Atomics.wait`, or `Atomics.waitAsync` in a thread that something else keeps alive, on the
 * first element of a BigInt64Array over `memory`).
 */
export function sharedPublishedLength(memory: SharedArrayBuffer): PublishedLength {
  const cell = new BigInt64Array(memory, 0, 1)
  return {
    load: () => Number(Atomics.load(cell, 0)),
    store: (lsn) => {
      Atomics.store(cell, 0, BigInt(lsn))
      Atomics.notify(cell, 0)
    },
  }
}

/** A published length for readers of the same thread. */
export function localPublishedLength(): PublishedLength {
  let published: Lsn = 0
  return {
    load: () => published,
    store: (lsn) => {
      published = lsn
    },
  }
}
