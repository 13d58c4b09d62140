import { expect, test } from 'vitest'
import { SimulationFailure, SimulationRun } from './run.ts'
import { scenarioOf } from './scenario.ts'

const seeds = [1, 7, 42, 1_000_003]

async function digestOf(seed: number): Promise<{ readonly digest: string; readonly log: readonly string[] }> {
  const log: string[] = []
  const run = new SimulationRun(scenarioOf(seed), { print: (line) => log.push(line) })
  try {
    return { digest: (await run.run()).digest, log }
  } catch (error) {
    if (error instanceof SimulationFailure) return { digest: error.digest, log }
    throw error
  }
}

test('a seed decides everything: twice the same decisions, times, events and outcome', async () => {
  for (const seed of seeds) {
    const [first, second] = [await digestOf(seed), await digestOf(seed)]
    expect(second.log).toEqual(first.log)
    expect(second.digest).toBe(first.digest)
  }
})

test('another seed is another run', async () => {
  const digests = await Promise.all([digestOf(3), digestOf(4)])
  expect(digests[0]?.digest).not.toBe(digests[1]?.digest)
})
