import { defineConfig } from 'vitest/config'

/** At the full counts a test may take an hour: a limit there shall catch a hang, not cut the counts. */
const long = process.env['BLOCKFERRY_TEST_COUNTS'] === 'long'
const unitTimeoutMs = long ? 3_600_000 : 60_000
const heavyTimeoutMs = long ? 3_600_000 : 900_000

/**
 * unit: pure logic beside its file, seconds. simulation: seeded, deterministic. integration: real Kafka,
 * real NBD clients, real kill -9; one file at a time, because two cores cannot run two clusters honestly.
 * containers: the images and the compose file, by a Docker engine; not part of `npm test`.
 */
export default defineConfig({
  test: {
    reporters: ['default', './test/support/count-reporter.ts'],
    passWithNoTests: false,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{schemas,packages,services,cli,benchmarks}/**/*.test.ts', 'test/tidy/**/*.test.ts'],
          testTimeout: unitTimeoutMs,
        },
      },
      {
        test: { name: 'simulation', include: ['test/simulation/**/*.test.ts'], testTimeout: heavyTimeoutMs },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: heavyTimeoutMs,
          hookTimeout: 300_000,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'containers',
          include: ['test/containers/**/*.test.ts'],
          testTimeout: heavyTimeoutMs,
          hookTimeout: 300_000,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
