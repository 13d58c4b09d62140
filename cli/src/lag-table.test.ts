import { expect, test } from 'vitest'
import type { LagSample } from './lag-sample.ts'
import { isUnhealthy } from './lag-sample.ts'
import { duration, lagTable } from './lag-table.ts'

const sample: LagSample = {
  diskId: 'vda',
  groupId: null,
  state: 'CONSISTENT',
  code: null,
  nextCommand: null,
  recoveryPointAgeMs: 412,
  replicationDelayMs: { p50: 38, p99: 91 },
  pendingWrites: 3,
  pendingBytes: 12_288,
  etaMs: null,
  source: { state: 'STREAMING' },
  progress: null,
}

test('a healthy disk is one line', () => {
  const [, line] = lagTable([sample]).split('\n')
  expect(line?.split(/ {2,}/)).toEqual([
    'vda',
    'CONSISTENT',
    'STREAMING',
    '412 ms',
    '38 ms',
    '91 ms',
    '3 (12 KiB)',
  ])
})

test('a halted disk shows its code, and below the table what to do', () => {
  const text = lagTable([{ ...sample, state: 'HALTED', code: 'GAP', nextCommand: 'blockferry lag --watch' }])
  expect(text).toContain('GAP')
  expect(text.trimEnd().split('\n').at(-1)).toBe('vda GAP: blockferry lag --watch')
})

test('what is not known is not shown as zero', () => {
  const text = lagTable([
    {
      ...sample,
      recoveryPointAgeMs: null,
      replicationDelayMs: { p50: null, p99: null },
      source: null,
      progress: { phase: 'full-sync', doneBytes: 50, totalBytes: 200, etaMs: 61_000 },
    },
  ])
  expect(text).toMatch(/vda\s+CONSISTENT\s+–\s+–\s+–\s+–/)
  expect(text).toContain('full-sync 25 %, 1 m 1 s left')
})

test('a disk is unhealthy when it is halted, or its source failed, fell silent or is late', () => {
  expect(isUnhealthy(sample)).toBe(false)
  expect(isUnhealthy({ ...sample, state: 'HALTED' })).toBe(true)
  expect(isUnhealthy({ ...sample, source: { state: 'FAILED' } })).toBe(true)
  expect(isUnhealthy({ ...sample, source: { state: 'SILENT' } })).toBe(true)
  expect(isUnhealthy({ ...sample, source: { state: 'LATE' } })).toBe(true)
})

test('durations read as they are spoken', () => {
  expect([0, 999, 1000, 59_900, 60_000, 3_720_000].map((ms) => duration(ms))).toEqual([
    '0 ms',
    '999 ms',
    '1.0 s',
    '59.9 s',
    '1 m 0 s',
    '1 h 2 m',
  ])
})
