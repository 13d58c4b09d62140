/** Decides everything a generated run leaves open: an integer in [0, bound). */
export type Choose = (bound: number) => number

/**
 * Choices read off a tape of integers; 0 once it has run out. A property drawn from a tape shrinks by itself:
 * a shorter tape is a simpler run.
 */
export function chooseFromTape(tape: readonly number[]): Choose {
  let at = 0
  return (bound) => {
    const value = tape[at] ?? 0
    at += 1
    return bound <= 1 ? 0 : value % bound
  }
}

/** A handful of runs by default; twenty times as many for `npm run test:long`. */
export function runCount(few: number): number {
  return process.env['BLOCKFERRY_TEST_COUNTS'] === 'long' ? few * 20 : few
}
