import { setTimeout as pollPause } from 'node:timers/promises'

export interface WaitOptions {
  /** Named in the failure. */
  readonly what: string
  readonly deadlineMs: number
  readonly everyMs?: number
  /** Adds facts to the failure message. */
  readonly explain?: () => string | Promise<string>
}

/** Polls until the condition holds; fails with what was awaited when the deadline passes. A throw counts as not yet. */
export async function waitFor(
  condition: () => boolean | Promise<boolean>,
  options: WaitOptions,
): Promise<void> {
  const endMs = performance.now() + options.deadlineMs
  let lastError: unknown
  while (performance.now() < endMs) {
    try {
      if (await condition()) return
      lastError = undefined
    } catch (error) {
      lastError = error
    }
    await pollPause(options.everyMs ?? 50)
  }
  const facts = options.explain === undefined ? '' : `\n${await options.explain()}`
  const cause = lastError === undefined ? {} : { cause: lastError }
  throw new Error(`waited ${options.deadlineMs} ms in vain for ${options.what}${facts}`, cause)
}
