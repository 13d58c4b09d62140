import { describe, expect, test } from 'vitest'
import type { PositionReport } from '@blockferry/disk-stream'
import { SiteFacts } from './site-facts.ts'

/** The report of a heartbeat sent at `sentMs`, as a target whose clock is ahead by `skewMs` echoes it at once. */
function echoOf(sentMs: number, way: { readonly outMs: number; readonly skewMs: number }): PositionReport {
  const arrivedAtMs = sentMs + way.outMs + way.skewMs
  return {
    diskId: 'vda',
    site: 'site-b',
    state: 'CONSISTENT',
    code: null,
    received: null,
    applied: null,
    reportedAtMs: arrivedAtMs,
    echo: { sourceTimeMs: sentMs, arrivedAtMs },
  }
}

/** The echo of a heartbeat that came home at `nowMs`, after these ways. */
function hear(
  facts: SiteFacts,
  nowMs: number,
  way: { readonly outMs: number; readonly backMs: number; readonly skewMs: number },
): void {
  facts.sawEcho(echoOf(nowMs - way.outMs - way.backMs, way), nowMs)
}

const near = { outMs: 60, backMs: 40, skewMs: 1_000 }

describe('the estimate of the other site’s clock', () => {
  test('is not given up for echoes that were held up on one way, however long only such come', () => {
    const facts = new SiteFacts(1)
    hear(facts, 10_000, near)
    expect(facts.skew).toEqual({ estimateMs: 1_010, errorMs: 50 })
    for (let second = 1; second <= 7_200; second += 1) {
      hear(facts, 10_000 + second * 1_000, { ...near, outMs: second * 500 })
    }
    expect(facts.skew?.estimateMs).toBeGreaterThan(900)
    expect(facts.skew?.estimateMs).toBeLessThan(1_100)
  })

  test('is replaced by a slightly worse echo when the clocks may have drifted further than that', () => {
    const facts = new SiteFacts(1)
    hear(facts, 10_000, near)
    hear(facts, 11_000, { ...near, backMs: 60, skewMs: 1_001 })
    expect(facts.skew?.errorMs).toBe(50)
    hear(facts, 210_000, { ...near, backMs: 60, skewMs: 1_020 })
    expect(facts.skew).toEqual({ estimateMs: 1_020, errorMs: 60 })
  })

  test('follows a clock that was set at once: an echo that contradicts it is right', () => {
    const facts = new SiteFacts(1)
    hear(facts, 10_000, near)
    hear(facts, 11_000, { outMs: 400, backMs: 400, skewMs: -3_600_000 })
    expect(facts.skew).toEqual({ estimateMs: -3_600_000, errorMs: 400 })
  })
})
