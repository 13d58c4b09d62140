import type { Host } from './host.ts'
import { type Outcome, type RunOptions, SimulationRun } from './run.ts'
import { shortScenario } from './scenario.ts'

/** Whom to kill: kill -9, or the power of the applier's host. */
export const victims = ['tap', 'aggregator-0', 'mirror', 'applier', 'applier-power'] as const
export type Victim = (typeof victims)[number]

export interface KillPlan {
  readonly seed: number
  readonly victim: Victim
  /** The victim dies right after its so many-th step. */
  readonly step: number
}

const restartMs = 120

/** How often each process steps while nothing is killed: the await points to kill at. */
export async function countSteps(seed: number): Promise<ReadonlyMap<string, number>> {
  const steps = new Map<string, number>()
  const run = new SimulationRun(shortScenario(seed), {
    interfere: ({ world }) => {
      const name = world.kernel.lastChosen?.name
      if (name !== undefined) steps.set(name, (steps.get(name) ?? 0) + 1)
      return false
    },
  })
  await run.run()
  return steps
}

/** Steps of the process behind a victim. */
export function stepsOf(steps: ReadonlyMap<string, number>, victim: Victim): number {
  return steps.get(hostNameOf(victim)) ?? 0
}

/** The fixed workload with one kill; everything must hold, and drain. */
export function runWithKill(
  plan: KillPlan,
  options: RunOptions = {},
): { readonly run: SimulationRun; readonly outcome: Promise<Outcome> } {
  let steps = 0
  const name = hostNameOf(plan.victim)
  const run: SimulationRun = new SimulationRun(shortScenario(plan.seed), {
    ...options,
    interfere: ({ faults, world }) => {
      if (world.kernel.lastChosen?.name !== name) return false
      steps += 1
      if (steps !== plan.step) return false
      const host = faults.hosts.find((candidate: Host) => candidate.name === name)
      if (host === undefined) return false
      faults.killAndRestart(host, { power: plan.victim === 'applier-power', afterMs: restartMs })
      return true
    },
  })
  return { run, outcome: run.run() }
}

function hostNameOf(victim: Victim): string {
  return victim === 'applier-power' ? 'applier' : victim
}
