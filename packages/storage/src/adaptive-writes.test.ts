import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AdaptiveWrites, inlineBytesMax, inlineMsMax, poolTimes } from './adaptive-writes.ts'

let directory = ''
let fd = -1

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'blockferry-adaptive-'))
  fd = openSync(join(directory, 'file'), 'w+')
})

afterEach(() => {
  closeSync(fd)
  rmSync(directory, { recursive: true })
})

/** A clock on which each inline write takes as long as told, and how often it was asked: twice means inline. */
function timed(costMs: () => number) {
  let nowMs = 0
  let calls = 0
  const clock = {
    advance: (ms: number) => (nowMs += ms),
    takeCalls: () => {
      const taken = calls
      calls = 0
      return taken
    },
    nowMs: () => {
      calls += 1
      if (calls % 2 === 0) nowMs += costMs()
      return nowMs
    },
  }
  return clock
}

const ranInline = 2
const ranOnPool = 1

test('A1: after a slow inline write none runs inline for ten times as long as it took', async () => {
  let cost = inlineMsMax + 1
  const clock = timed(() => cost)
  const writes = new AdaptiveWrites(fd, { wholePagesOnly: false, nowMs: clock.nowMs })
  await writes.write([Buffer.from('a')], 0)
  expect(clock.takeCalls()).toBe(ranInline)
  cost = 0
  await writes.write([Buffer.from('b')], 1)
  expect(clock.takeCalls()).toBe(ranOnPool)
  clock.advance(poolTimes * (inlineMsMax + 1))
  await writes.write([Buffer.from('c')], 2)
  expect(clock.takeCalls()).toBe(ranInline)
  expect(readFileSync(join(directory, 'file'), 'utf8')).toBe('abc')
})

test('long writes, and partial pages of a disk, go to the pool', async () => {
  const clock = timed(() => 0)
  const disk = new AdaptiveWrites(fd, { wholePagesOnly: true, nowMs: clock.nowMs })
  const cases = [
    { data: Buffer.alloc(inlineBytesMax + 4096), position: 0, expected: ranOnPool },
    { data: Buffer.alloc(4096), position: 512, expected: ranOnPool },
    { data: Buffer.alloc(512), position: 4096, expected: ranOnPool },
    { data: Buffer.alloc(4096), position: 4096, expected: ranInline },
  ]
  for (const { data, position, expected } of cases) {
    await disk.write([data], position)
    expect(clock.takeCalls(), `${data.length} bytes at ${position}`).toBe(expected)
  }
})

test('a failing inline write rejects, it does not throw', async () => {
  const readOnly = openSync(join(directory, 'file'), 'r')
  const writes = new AdaptiveWrites(readOnly, { wholePagesOnly: false })
  await expect(writes.write([Buffer.from('x')], 0)).rejects.toMatchObject({ code: 'EBADF' })
  closeSync(readOnly)
})
