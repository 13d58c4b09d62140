/**
 * Time as a parameter. Stream logic never reads a clock, sets a timer or draws a random number on its
 * own: production passes the system's, simulation passes a seeded one, and a failing seed replays exactly.
 */
export interface Clock {
  /** Wall time, ms since the epoch; may jump either way. */
  wallMs(): number
  /** Never decreases, unrelated to wall time; ms with fraction. Intervals and deadlines use this one. */
  monotonicMs(): number
  /** Resolves after `delayMs`, or at once (without throwing) when `signal` aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}

/** Randomness as a parameter. */
export interface Random {
  /** A uniformly drawn integer in [0, 2^32). */
  uint32(): number
  /** `byteLength` random bytes as lower-case hex. */
  hex(byteLength: number): string
}
