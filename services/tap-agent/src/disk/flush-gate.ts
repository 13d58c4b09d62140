/*
 * Invariant F1: `flush` resolves only after a device flush that began after the call; callers that wait for
 * the same one share it (group commit for FUA at depth).
 */
export interface FlushGate {
  flush(): Promise<void>
}

export function createFlushGate(flushDevice: () => Promise<void>): FlushGate {
  let running: Promise<void> | null = null
  let next: Promise<void> | null = null
  const begin = (): Promise<void> => {
    const flight = flushDevice()
    running = flight
    const done = () => {
      if (running === flight) running = null
    }
    flight.then(done, done)
    return flight
  }
  return {
    flush() {
      if (running === null) return begin()
      next ??= running.then(ignore, ignore).then(() => {
        next = null
        return begin()
      })
      return next
    },
  }
}

function ignore(): void {
  // Whether the flush before succeeded matters to its own callers; those who wait here get their own.
}
