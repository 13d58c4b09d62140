import type { Bell } from './shipper-ports.ts'

/**
 * A bell in shared memory (one Int32): the guest's thread rings it with two atomic instructions, and pays
 * for a wake-up only when the shipper's thread is asleep. A wait does not keep a thread alive: the
 * shipper's own port does.
 */
export function sharedBell(memory: SharedArrayBuffer): Bell {
  const cell = new Int32Array(memory, 0, 1)
  return {
    value: () => Atomics.load(cell, 0),
    ring() {
      Atomics.add(cell, 0, 1)
      Atomics.notify(cell, 0)
    },
    async waitBeyond(value) {
      // Exactly equal, not greater: the counter may wrap.
      const waiting = Atomics.waitAsync(cell, 0, value)
      if (waiting.async) await waiting.value
    },
  }
}

/** A bell within one thread, for simulation and tests. */
export function localBell(): Bell {
  let count = 0
  let waiting: (() => void)[] = []
  return {
    value: () => count,
    ring() {
      count += 1
      const woken = waiting
      waiting = []
      for (const wake of woken) wake()
    },
    waitBeyond(value) {
      if (count !== value) return Promise.resolve()
      return new Promise((resolve) => waiting.push(resolve))
    },
  }
}
