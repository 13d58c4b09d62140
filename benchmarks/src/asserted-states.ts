import { setTimeout as pause } from 'node:timers/promises'

/** States of the lab at one moment, by what they are the state of. */
export type StateLook = Readonly<Record<string, string | number>>

export interface StateAssertion {
  readonly look: () => Promise<StateLook>
  /** What each look must show. Whatever else a look shows must stay as it was in the first. */
  readonly expected: StateLook
  readonly everyMs?: number
}

/**
 * Runs the work and asserts the state over the whole of it, not at its end: before, once a second, and after. A
 * figure measured while the disk was AHEAD, say, was measured without half of the work.
 */
export async function assertedThroughout<T>(assertion: StateAssertion, work: () => Promise<T>): Promise<T> {
  const { expected, everyMs = 1_000 } = assertion
  const first = await lookOnce(assertion, expected)
  const required = { ...first, ...expected }
  const over = new AbortController()
  // A failed look is told when the work is over: it cannot be cut short.
  const looking = lookUntil(over.signal, () => lookOnce(assertion, required), everyMs)
  let value: T
  try {
    value = await work()
  } finally {
    over.abort()
  }
  const wrong = await looking
  if (wrong !== null) throw wrong.error
  await lookOnce(assertion, required)
  return value
}

/** What the first failed look threw; null when none failed. */
async function lookUntil(
  over: AbortSignal,
  look: () => Promise<unknown>,
  everyMs: number,
): Promise<{ readonly error: unknown } | null> {
  for (;;) {
    await pause(everyMs, undefined, { signal: over }).catch(() => {})
    if (over.aborted) return null
    try {
      await look()
    } catch (error) {
      return { error }
    }
  }
}

async function lookOnce({ look }: StateAssertion, required: StateLook): Promise<StateLook> {
  let found: StateLook
  try {
    found = await look()
  } catch (cause) {
    throw new Error('the states could not be read during the run', { cause })
  }
  const isSame = Object.entries(required).every(([name, state]) => found[name] === state)
  if (!isSame) {
    throw new Error(`states were not ${JSON.stringify(required)} throughout: ${JSON.stringify(found)}`)
  }
  return found
}
