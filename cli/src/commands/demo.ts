import type { Command } from 'commander'
import { runDemo } from '../demo/demo.ts'
import { exitStatus } from '../exit-status.ts'

export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description('Shows the whole product in one run, on real Kafka, and checks its outcome.')
    .option('--json', 'one machine-readable event per line instead of the story', false)
    .action(async (options: { readonly json: boolean }) => {
      const held = await runDemo(process.stdout, options)
      process.exitCode = held ? exitStatus.done : exitStatus.failed
    })
}
