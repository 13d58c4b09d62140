import { randomBytes } from 'node:crypto'
import type { Clock, Random } from '../ports.ts'

/** Longest timer Node sets without firing at once. */
const timerMsMax = 2 ** 31 - 1

/** The machine's clock. Composition roots pass it on; stream logic never imports it. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: async (delayMs, signal) => sleep(delayMs, signal),
}

async function sleep(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted === true) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, Math.min(Math.max(delayMs, 0), timerMsMax))
  const wake = () => {
    resolve()
  }
  signal?.addEventListener('abort', wake, { once: true })
  await promise
  clearTimeout(timer)
  signal?.removeEventListener('abort', wake)
}

/** The system's random source. */
export const systemRandom: Random = {
  uint32: () => randomBytes(4).readUInt32LE(0),
  hex: (byteLength) => randomBytes(byteLength).toString('hex'),
}
