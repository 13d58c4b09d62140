import { MiB } from '@blockferry/runtime'
import { expect, test } from 'vitest'
import { createAppendLatency } from './append-latency.ts'

/** Seconds until it is slow, or null within 20. */
function slowAfter(second: (at: number) => { durationMs: number; byteLength: number; loopDelayMs: number }) {
  const latency = createAppendLatency()
  for (let at = 1; at <= 20; at += 1) {
    const { loopDelayMs, ...append } = second(at)
    for (let index = 0; index < 98; index += 1) latency.add({ durationMs: 0.1, byteLength: 4096 })
    for (let index = 0; index < 2; index += 1) latency.add(append)
    if (latency.second({ monotonicMs: at * 1_000, loopDelayMs })) return at
  }
  return null
}

const late = { durationMs: 30, byteLength: 4096, loopDelayMs: 0 }

test('two late appends in a hundred, every second for 5 s, are a slow spool', () => {
  expect(slowAfter(() => late)).toBe(6)
})

test('one good second begins the count anew', () => {
  expect(slowAfter((at) => (at === 4 ? { ...late, durationMs: 1 } : late))).toBe(10)
})

test('the time that bytes take, and the time this thread had no processor, count for nothing', () => {
  expect(slowAfter(() => ({ ...late, byteLength: 4 * MiB }))).toBeNull()
  expect(slowAfter(() => ({ ...late, loopDelayMs: 15 }))).toBeNull()
})
