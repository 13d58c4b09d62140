/** Logic that runs until it is stopped. */
export interface RunningLoop {
  /** Rejects if the loop breaks; never resolves. */
  readonly failed: Promise<never>
  /** Aborts the loop and waits for its end, and meanwhile for what `alongside` closes; rejects as the loop does. */
  stop(alongside?: () => Promise<void>): Promise<void>
}

/** Starts a loop that ends when its signal aborts. */
export function startLoop(run: (signal: AbortSignal) => Promise<void>): RunningLoop {
  const stopping = new AbortController()
  const running = run(stopping.signal)
  const { promise: failed, reject } = Promise.withResolvers<never>()
  running.catch(reject)
  return {
    failed,
    stop: async (alongside) => {
      stopping.abort()
      await Promise.all([running, alongside?.()])
    },
  }
}
