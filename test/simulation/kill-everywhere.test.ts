import { describe, expect, test } from 'vitest'
import { describeFailure } from './failure.ts'
import { countSteps, type KillPlan, runWithKill, stepsOf, victims } from './kill-at.ts'

/*
 * A short fixed workload; each process killed right after each of its steps, that is at every await of a port.
 * By default a tenth of the steps, another tenth every day; BLOCKFERRY_SIM_ROTATION=N picks one.
 */

const long = process.env['BLOCKFERRY_TEST_COUNTS'] === 'long'
const stride = long ? 1 : 10
const rotation = Number(process.env['BLOCKFERRY_SIM_ROTATION'] ?? Math.floor(Date.now() / 86_400_000))
const seed = 1

async function failureOf(plan: KillPlan): Promise<string | null> {
  const { outcome, run } = runWithKill(plan)
  try {
    await outcome
    return null
  } catch (error) {
    return describeFailure(
      error,
      run,
      `npm run test:sim -- --seed=${plan.seed} --kill=${plan.victim}@${plan.step} --verbose`,
    )
  }
}

describe('killed at any step of its own, everything still holds and drains', () => {
  for (const victim of victims) {
    test(victim, async () => {
      const steps = stepsOf(await countSteps(seed), victim)
      expect(steps).toBeGreaterThan(50)
      const failures: string[] = []
      for (let step = 1 + (rotation % stride); step <= steps; step += stride) {
        const failure = await failureOf({ seed, victim, step })
        if (failure !== null) failures.push(failure)
      }
      expect(failures.slice(0, 3).join('\n\n')).toBe('')
    })
  }
})
