import { describe, expect, test } from 'vitest'
import { imageFill } from './bench-lab.ts'
import { type Figure, renderReport, type Report, verdictOf } from './figure.ts'
import { describeMachine } from './machine.ts'
import { contestFigures } from './scenarios/guest-path.ts'
import { memoryFigures } from './scenarios/delay-and-memory.ts'

const reportOf = (...figures: Figure[]): Report => ({
  machine: describeMachine(),
  image: imageFill,
  kafkaClient: 'platformatic',
  figures,
  skipped: [],
})

describe('the report', () => {
  test('says what it was measured on and how the image was filled, as table and as JSON', () => {
    const report = reportOf()
    const { machine, image } = JSON.parse(JSON.stringify(report)) as Report
    expect(machine).toEqual({
      cpuModel: expect.stringMatching(/./),
      cores: expect.any(Number),
      memoryBytes: expect.any(Number),
      kernel: expect.stringMatching(/^\d+\./),
      node: process.version,
    })
    expect(image).toMatchObject({ bytes: 512 * 1024 * 1024, filledWith: expect.stringContaining('random') })
    const text = renderReport(report)
    expect(text).toContain(process.version)
    expect(text).toContain('512 MiB')
    expect(text).toContain('Kafka client: platformatic')
    expect(text).toContain('random')
  })

  test('holds memory against megabytes, not mebibytes', () => {
    const figures = (bytes: number) =>
      memoryFigures({ 'tap-agent': bytes, aggregator: 1, applier: 1 }, 'steady').map(verdictOf)
    expect(figures(250_000_000)[0]).toBe('holds')
    expect(figures(250_000_001)[0]).toBe('FAILS')
    expect(memoryFigures({ 'tap-agent': 1, aggregator: 1, applier: 350e6 + 1 }, 'steady')[2]).toMatchObject({
      unit: 'MB',
      bound: { max: 350 },
    })
  })

  test('gives latencies rows of their own, each the median over rounds', () => {
    const typical = { iops: 1_000, bytesPerSecond: 1, bytes: 1, seconds: 1, p50Ms: 1 }
    const result = (p99Ms: number) => ({ ...typical, p99Ms })
    const pairs = [3, 1, 2].map((p99Ms) => ({ ours: result(p99Ms), theirs: result(p99Ms * 10) }))
    const found = contestFigures({ name: 'contest', pairs, seconds: 10 })
    expect(found).toContainEqual({ name: 'contest: p99 latency, ours', value: 2, unit: 'ms' })
    expect(found).toContainEqual({ name: 'contest: p99 latency, peer', value: 20, unit: 'ms' })
    expect(found).toContainEqual({ name: 'contest: p50 latency, ours', value: 1, unit: 'ms' })
    for (const { note } of found) expect(note ?? '').not.toContain('p99')
  })
})
