import { describe, expect, test } from 'vitest'
import { readJvmLine } from './jvm-line.ts'

describe('a line of a JVM', () => {
  test.each([
    ['2026-11-23 21:40:00,123 WARN NetworkClient: no node', 'warn', 'NetworkClient: no node'],
    ['2026-11-23T21:40:00,123 ERROR WorkerTask: failed', 'error', 'WorkerTask: failed'],
    ['2026-11-23 21:40:00,123 INFO MirrorMaker: started', 'info', 'MirrorMaker: started'],
    ['java.lang.OutOfMemoryError: Java heap space', 'error', 'java.lang.OutOfMemoryError: Java heap space'],
    ['\tat org.apache.kafka.Class.method', 'info', '\tat org.apache.kafka.Class.method'],
  ])('%s', (line, level, text) => {
    expect(readJvmLine(line)).toEqual({ level, text, isHarmless: false })
  })

  test('is harmless when Kafka says it at every stop', () => {
    const line =
      '2026-11-23 21:40:00,123 WARN X: Attempting to close NetworkClient that has already been closed'
    expect(readJvmLine(line)).toMatchObject({ level: 'warn', isHarmless: true })
  })
})
