import { expect, test } from 'vitest'
import { describeFailure } from './failure.ts'
import { SimulationRun } from './run.ts'
import { scenarioOf } from './scenario.ts'

const long = process.env['BLOCKFERRY_TEST_COUNTS'] === 'long'
const seedsInAll = long ? 2_000 : 200
const seedsPerTest = 20

/** Every second seed, beginning with `first`: two files share the seeds, for two cores. */
export function seedSuite(first: 1 | 2): void {
  for (let from = first; from <= seedsInAll; from += 2 * seedsPerTest) {
    const seeds = Array.from({ length: seedsPerTest }, (_, at) => from + 2 * at).filter(
      (seed) => seed <= seedsInAll,
    )
    test(`what the guarantees say holds in every second seed from ${seeds[0]} to ${seeds.at(-1)}`, async () => {
      const failures: string[] = []
      for (const seed of seeds) {
        const failure = await failureOf(seed)
        if (failure !== null) failures.push(failure)
      }
      expect(failures.join('\n\n')).toBe('')
    })
  }
}

async function failureOf(seed: number): Promise<string | null> {
  const run = new SimulationRun(scenarioOf(seed))
  try {
    await run.run()
    return null
  } catch (error) {
    return describeFailure(error, run)
  }
}
