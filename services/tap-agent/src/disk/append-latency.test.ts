import { MiB } from '@blockferry/runtime'
import { expect, test } from 'vitest'
import { type AppendLatency, createAppendLatency, type OutstandingAppend } from './append-latency.ts'

/** Seconds until it is slow, or null within 20. */
function slowAfter(second: (at: number) => { durationMs: number; byteLength: number; loopDelayMs: number }) {
  const latency = createAppendLatency()
  for (let at = 1; at <= 20; at += 1) {
    const { loopDelayMs, ...append } = second(at)
    for (let index = 0; index < 98; index += 1) latency.add({ durationMs: 0.1, byteLength: 4096 })
    for (let index = 0; index < 2; index += 1) latency.add(append)
    if (latency.second({ monotonicMs: at * 1_000, loopDelayMs, outstanding: null })) return at
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

/** Seconds until it is slow, or null within 20, when nothing completes but what `second` adds. */
function slowAfterWaiting(
  second: (
    at: number,
    latency: AppendLatency,
  ) => { outstanding: OutstandingAppend | null; loopDelayMs?: number },
) {
  const latency = createAppendLatency()
  for (let at = 1; at <= 20; at += 1) {
    const { loopDelayMs = 0, outstanding } = second(at, latency)
    if (latency.second({ monotonicMs: at * 1_000, loopDelayMs, outstanding })) return at
  }
  return null
}

test('an append that hangs is a slow spool, although nothing completes', () => {
  const outstanding = { sinceMs: 500, byteLength: 4096 }
  expect(slowAfterWaiting(() => ({ outstanding }))).toBe(6)
})

test('appends of three seconds each are a slow spool: the seconds without a completion are no good ones', () => {
  const appends = (at: number, latency: AppendLatency) => {
    if (at % 3 === 0) latency.add({ durationMs: 3_000, byteLength: 4096 })
    return { outstanding: { sinceMs: Math.floor(at / 3) * 3_000, byteLength: 4096 } }
  }
  expect(slowAfterWaiting(appends)).toBe(6)
})

test('an append under way that is young, large, or waited with this thread is not late', () => {
  const young = (at: number) => ({ outstanding: { sinceMs: at * 1_000 - 10, byteLength: 4096 } })
  expect(slowAfterWaiting(young)).toBeNull()
  const large = (at: number) => ({ outstanding: { sinceMs: at * 1_000 - 90, byteLength: 4 * MiB } })
  expect(slowAfterWaiting(large)).toBeNull()
  const waited = (at: number) => ({
    outstanding: { sinceMs: at * 1_000 - 500, byteLength: 4096 },
    loopDelayMs: 500,
  })
  expect(slowAfterWaiting(waited)).toBeNull()
})

test('one late append under way among a hundred good ones is no slow spool, and an idle one is none either', () => {
  const busy = (at: number, latency: AppendLatency) => {
    for (let index = 0; index < 100; index += 1) latency.add({ durationMs: 0.1, byteLength: 4096 })
    return { outstanding: { sinceMs: at * 1_000 - 50, byteLength: 4096 } }
  }
  expect(slowAfterWaiting(busy)).toBeNull()
  expect(slowAfterWaiting(() => ({ outstanding: null }))).toBeNull()
})
