import { execFileSync } from 'node:child_process'
import type { SimulationRun } from './run.ts'

const linesShown = 40

/** Seed, commit, how to replay it, what broke, and what went before. */
export function describeFailure(error: unknown, run: SimulationRun, replay?: string): string {
  const { journal, scenario } = run.world
  const command = replay ?? `npm run test:sim -- --seed=${scenario.seed} --verbose`
  return [
    `seed ${scenario.seed} failed at commit ${commit()}; replay it: ${command}`,
    error instanceof Error ? error.message : String(error),
    `the last ${linesShown} events before it:`,
    ...journal.tail(linesShown),
  ].join('\n')
}

function commit(): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8' }).trim()
    const head = git('rev-parse', '--short', 'HEAD')
    const changed = git('status', '--porcelain', '--untracked-files=no') !== ''
    return changed ? `${head} with uncommitted changes` : head
  } catch {
    return 'unknown'
  }
}
