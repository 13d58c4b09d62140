import { describe, expect, test } from 'vitest'
import { humanLine } from './human-line.ts'

const nowMs = Date.parse('2026-11-22T10:00:00.000Z')

describe('what people see of the processes', () => {
  test('is a service’s line with its facts, error code and next command', () => {
    const line = JSON.stringify({
      level: 'error',
      time: '2026-11-22T10:00:00.123Z',
      service: 'applier',
      pid: 1,
      msg: 'disk halted',
      diskId: 'vda',
      err: { code: 'GAP', message: 'sequence 9 is missing', nextCommand: 'blockferry lag' },
    })
    expect(humanLine('applier', line, nowMs)).toBe(
      '10:00:00.123 applier    error disk halted  diskId=vda  [GAP] sequence 9 is missing  next: blockferry lag',
    )
  })

  test('is a JVM’s warning, but not its small talk', () => {
    const warn = '2026-11-22 10:00:00,123 WARN Log: disk is nearly full'
    expect(humanLine('kafka-a', warn, nowMs)).toBe('10:00:00.000 kafka-a    warn  Log: disk is nearly full')
    expect(humanLine('kafka-a', '2026-11-22 10:00:00,123 INFO Log: rolled', nowMs)).toBeNull()
    expect(humanLine('kafka-a', '\tat java.base/java.lang.Thread.run', nowMs)).toBeNull()
    const harmless = '2026-11-22 10:00:00,123 WARN QuorumController: Performing controller activation'
    expect(humanLine('kafka-a', harmless, nowMs)).toBeNull()
  })

  test('is a JVM that ran out of memory, in whatever form it says so', () => {
    const line = 'Terminating due to java.lang.OutOfMemoryError: Java heap space'
    expect(humanLine('mirror', line, nowMs)).toContain('OutOfMemoryError')
  })

  test('is never a crash of ours: half a JSON line is hidden like any other noise', () => {
    expect(humanLine('wan', '{"level":"info', nowMs)).toBeNull()
    expect(humanLine('wan', '{}', nowMs)).toContain('wan')
  })
})
