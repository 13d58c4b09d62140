import { Command, CommanderError } from 'commander'
import { registerDemo } from './commands/demo.ts'
import { registerDisks } from './commands/disks.ts'
import { registerLag } from './commands/lag.ts'
import { registerRecoveryPoints } from './commands/recovery-points.ts'
import { registerStart } from './commands/start.ts'
import { registerTopic } from './commands/topic.ts'
import { exitStatus, failureText, UsageFault } from './exit-status.ts'

/** Every command adds itself; one that is not listed here does not exist. */
const registrations: readonly ((program: Command) => void)[] = [
  registerStart,
  registerDemo,
  registerLag,
  registerDisks,
  registerRecoveryPoints,
  registerTopic,
]

const program = new Command('blockferry')
  .description('Carries disks to another site, in order, and keeps their history.')
  .showHelpAfterError('(--help shows what there is)')
  .exitOverride()
  .addHelpText('after', '\nExit status: 0 done, 1 failed, 2 usage, 3 the system is unhealthy.')
for (const register of registrations) register(program)
program.hook('preAction', (_program, command) => leaveWithReader(command.name()))

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = reportFailure(error)
}

/** `blockferry lag --watch | head` ends when its reader does; `start` outlives whoever reads it. */
function leaveWithReader(name: string): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      if (name !== 'start') process.exit(exitStatus.done)
    })
  }
}

function reportFailure(error: unknown): number {
  // commander has printed its own message, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitStatus.done : exitStatus.usage
  process.stderr.write(failureText(error))
  return error instanceof UsageFault ? exitStatus.usage : exitStatus.failed
}
