import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { waitFor } from '@blockferry/cli'

const root = resolve(import.meta.dirname, '../..')
const startDeadlineMs = 60_000

export type ServiceName = 'tap-agent' | 'aggregator' | 'applier'

/** One line of a service's log. */
export interface LogLine {
  readonly level: string
  readonly event?: string
  readonly msg?: string
  readonly [field: string]: unknown
}

/** A service as an operator starts it: its `main.ts` in a process, configured by environment and flags alone. */
export class ServiceProcess implements AsyncDisposable {
  readonly child: ChildProcess
  readonly lines: LogLine[] = []
  /** Of the process, once it ended and all its output was read. */
  readonly status: Promise<number | null>

  constructor(
    service: ServiceName,
    options: {
      /** Without the BLOCKFERRY_ prefix. */
      readonly settings: Readonly<Record<string, string>>
      readonly args?: readonly string[]
    },
  ) {
    const env: Record<string, string> = { PATH: process.env['PATH'] ?? '' }
    env['NODE_COMPILE_CACHE'] = join(root, 'node_modules/.cache/compiled')
    for (const [name, value] of Object.entries(options.settings)) env[`BLOCKFERRY_${name}`] = value
    const main = join(root, 'services', service, 'src/main.ts')
    this.child = spawn(process.execPath, [main, ...(options.args ?? [])], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const { stdout } = this.child
    if (stdout === null) throw new Error('the service has no pipe')
    createInterface({ input: stdout }).on('line', (line) => this.lines.push(JSON.parse(line) as LogLine))
    this.status = once(this.child, 'close').then(([code]) => code as number | null)
  }

  /** The HTTP address, once the service says that it listens. */
  async http(): Promise<string> {
    const listening = () => this.lines.find(({ event }) => event === 'listening')
    await waitFor(() => listening() !== undefined || this.child.exitCode !== null, {
      what: 'the service to listen',
      deadlineMs: startDeadlineMs,
      explain: () => JSON.stringify(this.lines),
    })
    const line = listening()
    if (line === undefined) throw new Error(`the service ended: ${JSON.stringify(this.lines)}`)
    return String(line['http'])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM')
    await this.status
  }
}
