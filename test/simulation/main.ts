import { parseArgs } from 'node:util'
import { describeFailure } from './failure.ts'
import { runWithKill, type Victim, victims } from './kill-at.ts'
import { type Outcome, type RunOptions, SimulationRun } from './run.ts'
import { scenarioOf } from './scenario.ts'

/*
 * npm run test:sim -- --seed=123 [--verbose]     replays one seed; with its log of decisions and faults
 * npm run test:sim -- --seeds=1..200             runs a range, and prints a line for each
 * npm run test:sim -- --seed=1 --kill=tap@17     the short workload, with one kill at a process's step
 */

const usage =
  'usage: npm run test:sim -- --seed=N [--verbose] | --seeds=FROM..TO [--kill=PROCESS@STEP] [--verbose]\n'

function seedsOf(options: { readonly seed?: string; readonly seeds?: string }): readonly number[] {
  const [from, to] = (options.seeds ?? `${options.seed ?? 1}..${options.seed ?? 1}`).split('..').map(Number)
  if (from === undefined || to === undefined || !Number.isInteger(from) || !Number.isInteger(to)) return []
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, at) => from + at)
}

interface Started {
  readonly run: SimulationRun
  readonly outcome: Promise<Outcome>
}

function start(seed: number, kill: string | undefined, options: RunOptions): Started | null {
  if (kill === undefined) {
    const run = new SimulationRun(scenarioOf(seed), options)
    return { run, outcome: run.run() }
  }
  const [name, step] = kill.split('@')
  const victim = victims.find((candidate: Victim) => candidate === name)
  return victim === undefined ? null : runWithKill({ seed, victim, step: Number(step) }, options)
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string' },
      kill: { type: 'string' },
      verbose: { type: 'boolean', default: false },
    },
  })
  const seeds = seedsOf(values)
  if (seeds.length === 0) {
    process.stderr.write(usage)
    return 2
  }
  const print = (line: string): void => void process.stdout.write(`${line}\n`)
  let failures = 0
  for (const seed of seeds) {
    const startMs = performance.now()
    const started = start(seed, values.kill, values.verbose ? { print } : {})
    if (started === null) {
      process.stderr.write(usage)
      return 2
    }
    try {
      const outcome = await started.outcome
      const tookMs = Math.round(performance.now() - startMs)
      print(`seed ${seed} held in ${tookMs} ms: ${JSON.stringify(outcome)}`)
    } catch (error) {
      failures += 1
      print(describeFailure(error, started.run))
    }
  }
  if (failures > 0) print(`${failures} of ${seeds.length} seeds failed`)
  return failures === 0 ? 0 : 1
}

process.exitCode = await main()
