import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { waitFor } from '@blockferry/cli'

const root = resolve(import.meta.dirname, '../..')
const startDeadlineMs = 60_000
/** Longer than any service may take to stop. */
const endDeadlineMs = 20_000

/** One line of a service's log. */
export interface LogLine {
  readonly level: string
  readonly event?: string
  readonly msg?: string
  readonly [field: string]: unknown
}

/** A service as an operator starts it: its `main.ts` in a process, told by environment and flags alone. */
export class ServiceProcess implements AsyncDisposable {
  readonly child: ChildProcess
  readonly lines: LogLine[] = []
  /** Lines for people, like those of --help. */
  readonly text: string[] = []
  readonly #closed: Promise<number | null>

  constructor(
    /** From the repository's root. */
    main: string,
    options: {
      /** Without the BLOCKFERRY_ prefix. */
      readonly settings: Readonly<Record<string, string>>
      readonly args?: readonly string[]
    },
  ) {
    const env: Record<string, string> = { PATH: process.env['PATH'] ?? '' }
    env['NODE_COMPILE_CACHE'] = join(root, 'node_modules/.cache/compiled')
    for (const [name, value] of Object.entries(options.settings)) env[`BLOCKFERRY_${name}`] = value
    this.child = spawn(process.execPath, [join(root, main), ...(options.args ?? [])], {
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const { stdout } = this.child
    if (stdout === null) throw new Error('the service has no pipe')
    createInterface({ input: stdout }).on('line', (line) => {
      if (line.startsWith('{')) this.lines.push(JSON.parse(line) as LogLine)
      else this.text.push(line)
    })
    this.#closed = once(this.child, 'close').then(([code]) => code as number | null)
  }

  /** The line of its log that tells of an event, once it is there. */
  async told(event: string): Promise<LogLine> {
    const find = () => this.lines.find((line) => line.event === event)
    await waitFor(() => find() !== undefined || this.child.exitCode !== null, {
      what: `the service to tell of "${event}"`,
      deadlineMs: startDeadlineMs,
      explain: () => JSON.stringify(this.lines),
    })
    const line = find()
    if (line === undefined) throw new Error(`the service ended: ${JSON.stringify(this.lines)}`)
    return line
  }

  /** The HTTP address, once the service says that it listens. */
  async http(): Promise<string> {
    return String((await this.told('listening'))['http'])
  }

  /** Its exit status, once all its output was read; null when it had to be killed. */
  async status(): Promise<number | null> {
    const timer = setTimeout(() => this.child.kill('SIGKILL'), endDeadlineMs)
    const code = await this.#closed
    clearTimeout(timer)
    return code
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM')
    await this.status()
  }
}
