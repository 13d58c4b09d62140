import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { LabReady } from '../lab/ready.ts'
import { waitFor } from './wait-for.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))

export type LabProcessName = 'kafka-a' | 'kafka-b' | 'mirror' | 'wan' | 'tap-agent' | 'aggregator' | 'applier'

export interface LabOptions {
  /** Values of `--disk`. */
  readonly disks: readonly string[]
  /** Kept when given; else a temporary directory that goes with the lab. */
  readonly directory?: string
  readonly extraArguments?: readonly string[]
}

/** Both sites as child processes of `blockferry start`, as a user starts them. */
export class LabClient implements AsyncDisposable {
  readonly directory: string
  readonly #child: ChildProcess
  readonly #removeDirectory: boolean
  #ready: LabReady | null = null
  readonly #pids = new Map<string, number>()
  /** The newest lines of the lab's human log: printed when a test fails to reach its condition. */
  readonly logTail: string[] = []

  private constructor(child: ChildProcess, options: { directory: string; removeDirectory: boolean }) {
    this.#child = child
    this.directory = options.directory
    this.#removeDirectory = options.removeDirectory
  }

  static async start(options: LabOptions): Promise<LabClient> {
    const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'blockferry-lab-')))
    const args = [join(root, 'cli/src/main.ts'), 'start', '--dir', directory, '--json']
    for (const disk of options.disks) args.push('--disk', disk)
    args.push(...(options.extraArguments ?? []))
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    const lab = new LabClient(child, { directory, removeDirectory: options.directory === undefined })
    lab.#follow()
    try {
      await waitFor(() => lab.#ready !== null || child.exitCode !== null, {
        what: 'the lab to be ready',
        deadlineMs: 120_000,
      })
      if (lab.#ready === null) throw new Error(`the lab ended with status ${child.exitCode}`)
    } catch (error) {
      await lab[Symbol.asyncDispose]()
      throw new Error(`${String(error)}\n${lab.logTail.join('\n')}`, { cause: error })
    }
    return lab
  }

  #follow(): void {
    const { stdout, stderr } = this.#child
    if (stdout === null || stderr === null) throw new Error('the lab has no pipes')
    createInterface({ input: stdout }).on('line', (line) => this.#onEvent(line))
    createInterface({ input: stderr }).on('line', (line) => {
      this.logTail.push(line)
      if (this.logTail.length > 200) this.logTail.shift()
    })
  }

  #onEvent(line: string): void {
    const event = JSON.parse(line) as LabReady | { event: 'restarted'; process: string; pid: number }
    if (event.event === 'restarted') {
      this.#pids.set(event.process, event.pid)
      return
    }
    this.#ready = event
    for (const [name, { pid }] of Object.entries(event.processes)) this.#pids.set(name, pid)
  }

  get ready(): LabReady {
    if (this.#ready === null) throw new Error('the lab is not ready')
    return this.#ready
  }

  pid(name: LabProcessName): number {
    const pid = this.#pids.get(name)
    if (pid === undefined) throw new Error(`no process ${name} in the lab`)
    return pid
  }

  url(name: LabProcessName): string {
    const http = this.ready.processes[name]?.http
    if (http === undefined) throw new Error(`${name} has no http address`)
    return http
  }

  /** Sends a signal to a process of the lab and waits until the supervisor has put another in its place. */
  async killAndAwaitRestart(name: LabProcessName, signal: NodeJS.Signals): Promise<void> {
    const before = this.pid(name)
    process.kill(before, signal)
    await waitFor(() => this.pid(name) !== before, { what: `${name} to be restarted`, deadlineMs: 60_000 })
  }

  async setLink(link: { up: boolean; bytesPerSecond?: number | null; latencyMs?: number }): Promise<void> {
    const body = JSON.stringify({ bytesPerSecond: null, latencyMs: 0, ...link })
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${this.url('wan')}/v1/link`, { method: 'PUT', headers, body })
    if (!answer.ok) throw new Error(`the wan proxy answered ${answer.status}: ${await answer.text()}`)
  }

  async get<T>(name: LabProcessName, path: string): Promise<T> {
    const answer = await fetch(`${this.url(name)}${path}`)
    if (!answer.ok) throw new Error(`${name} ${path} answered ${answer.status}: ${await answer.text()}`)
    return (await answer.json()) as T
  }

  /** Orderly stop; the directory goes too unless it was given. */
  async stop(): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit')
      this.#child.kill('SIGTERM')
      await Promise.race([
        ended,
        waitFor(() => this.#child.exitCode !== null, { what: 'the lab to stop', deadlineMs: 90_000 }),
      ])
    }
    return this.#child.exitCode
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    if (this.#removeDirectory) await rm(this.directory, { recursive: true, force: true })
  }
}
