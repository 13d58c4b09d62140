import { Fault } from '@blockferry/runtime'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeRecord } from './decode.ts'
import { catalogue } from './error-catalogue.ts'
import { unpackPayloadSync } from './payload.ts'
import { encodeAny } from '../testing/encode-any.ts'
import { anyRecord } from '../testing/record-arbitraries.ts'

const mutations = process.env['BLOCKFERRY_TEST_COUNTS'] === 'long' ? 100_000 : 10_000

/** A small deterministic generator: fast-check would spend its time on shrinkable values. */
function numbers(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

function mutate(message: Buffer, draw: (below: number) => number): Buffer {
  const copy = Buffer.from(message)
  for (let change = 0; change <= draw(4); change += 1) {
    const at = draw(8) === 0 ? draw(copy.length) : 10 + draw(Math.max(1, copy.length - 10))
    const kind = draw(5)
    if (kind === 0) return copy.subarray(0, at)
    if (kind === 1) copy[at] = draw(256)
    if (kind === 2) copy[at] = (copy[at] ?? 0) ^ (1 << draw(8))
    if (kind === 3) copy.fill(0xff, at, Math.min(copy.length, at + draw(12))) // lengths and counts near 2^63
    if (kind === 4) return Buffer.concat([copy.subarray(0, at), copy.subarray(draw(copy.length))])
  }
  return copy
}

test(`${mutations} mutated messages are decoded or refused with a code, quickly and within bounds`, () => {
  const draw = numbers(20_261_123)
  const messages = fc.sample(anyRecord, { numRuns: 400, seed: 7 }).map(encodeAny)
  const seen = new Map<string, number>()
  let slowestMs = 0
  for (let index = 0; index < mutations; index += 1) {
    const startedAtMs = performance.now()
    const outcome = tryDecode(mutate(messages[index % messages.length] as Buffer, draw))
    slowestMs = Math.max(slowestMs, performance.now() - startedAtMs)
    seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
  }
  const codes = Object.keys(catalogue).filter((code) => code !== 'PAYLOAD_UNPACK')
  expect([...seen.keys()]).toEqual(expect.arrayContaining(codes))
  expect(slowestMs).toBeLessThan(1000)
})

/** The code of the refusal, or `decoded`; anything but a Fault fails the test. */
function tryDecode(message: Buffer): string {
  try {
    const any = decodeRecord(message)
    if (any.kind === 'UpdateSet') unpackPayloadSync(any.record)
    return 'decoded'
  } catch (error) {
    if (error instanceof Fault && error.code in catalogue) return error.code
    throw error
  }
}
