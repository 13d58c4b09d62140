import { defineConfig } from 'vitest/config'

/**
 * unit: pure logic beside its file, seconds. simulation: seeded, deterministic. integration: real Kafka,
 * real NBD clients, real kill -9; one file at a time, because two cores cannot run two clusters honestly.
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
          testTimeout: 60_000,
        },
      },
      { test: { name: 'simulation', include: ['test/simulation/**/*.test.ts'], testTimeout: 900_000 } },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 900_000,
          hookTimeout: 300_000,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
