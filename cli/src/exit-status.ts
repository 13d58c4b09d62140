import { codeOf, Fault } from '@blockferry/runtime'

/** How a command ends. */
export const exitStatus = { done: 0, failed: 1, usage: 2, unhealthy: 3 } as const
export type ExitStatus = (typeof exitStatus)[keyof typeof exitStatus]

/** Faults in the command line itself; all of them at once. */
export class UsageFault extends Fault {
  override readonly name = 'UsageFault'

  constructor(command: string, faults: readonly string[]) {
    super('USAGE', faults.join('\n'), {
      nextCommand: `blockferry ${command} --help`,
      details: { faults },
    })
  }
}

/** What a person reads when a command fails: what is wrong, its code, what to do next. */
export function failureText(error: unknown): string {
  if (!(error instanceof Error)) return `blockferry: ${String(error)}\n`
  const next = error instanceof Fault && error.nextCommand !== '' ? `\n  next: ${error.nextCommand}` : ''
  const cause = error.cause instanceof Error ? `\n  because: ${error.cause.message}` : ''
  const inside = error instanceof Fault ? '' : `\n${error.stack ?? ''}`
  return `blockferry: ${error.message} [${codeOf(error)}]${cause}${next}${inside}\n`
}
