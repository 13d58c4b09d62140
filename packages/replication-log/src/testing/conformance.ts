import { afterAll, beforeAll } from 'vitest'
import { fetchClaims } from './fetch-claims.ts'
import { groupClaims } from './group-claims.ts'
import type { ConformanceHarness } from './harness.ts'
import { produceClaims } from './produce-claims.ts'
import { topicClaims } from './topic-claims.ts'

/**
 * The one suite every adapter of the port passes (K6). Call it inside a `describe`; `open` is awaited once
 * for all of it.
 */
export function replicationLogConformance(open: () => Promise<ConformanceHarness>): void {
  let harness: ConformanceHarness | undefined
  beforeAll(async () => {
    harness = await open()
  })
  afterAll(async () => {
    await harness?.[Symbol.asyncDispose]()
  })
  const opened = (): ConformanceHarness => {
    if (harness === undefined) throw new Error('the harness did not open')
    return harness
  }
  topicClaims(opened)
  produceClaims(opened)
  fetchClaims(opened)
  groupClaims(opened)
}
