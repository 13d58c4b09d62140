/** A broken invariant of our own. Never caught: the process crashes and resumes from its durable state. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** States an invariant. Stays on in production: a wrong image is worse than a restart. */
export function assert(condition: unknown, why: string): asserts condition {
  if (!condition) throw new AssertionError(why)
}

/** Makes a switch exhaustive at compile time, and loud at run time. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`)
}
