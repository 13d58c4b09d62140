import type { LaunchedProcess } from '@blockferry/supervision'

/** Resolves when the process logs that it listens, as each of our services does once. */
export async function awaitListening(child: LaunchedProcess, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const stop = child.onLine((line) => {
    if (line.includes('"event":"listening"')) resolve()
  })
  signal.addEventListener('abort', () => resolve(), { once: true })
  await promise
  stop()
}
