import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { waitFor } from '@blockferry/cli'
import { afterEach, describe, expect, test } from 'vitest'
import { FakeApplier, quietSample } from '../support/fake-applier.ts'

/* What the commands tell a script of a system in trouble: their exit status, and the live feed line by line. */

const root = join(import.meta.dirname, '../..')
const main = join(root, 'cli/src/main.ts')
const open: AsyncDisposable[] = []
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]()
})

async function applierWith(disks: readonly object[]): Promise<FakeApplier> {
  const applier = await FakeApplier.listen()
  open.push(applier)
  applier.answers.set('/v1/lag', { type: 'snapshot', sampledAt: '2026-11-22T10:00:00.123Z', disks })
  return applier
}

/** The command in a process, told by its environment where the services are. */
class Command implements AsyncDisposable {
  readonly child: ChildProcess
  readonly #ended: Promise<number | null>
  stdout = ''
  stderr = ''

  constructor(urls: { readonly applier: string; readonly tapAgent?: string }, ...args: readonly string[]) {
    const env = {
      PATH: process.env['PATH'],
      NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/compiled'),
      BLOCKFERRY_APPLIER_URL: urls.applier,
      BLOCKFERRY_TAP_AGENT_URL: urls.tapAgent ?? urls.applier,
    }
    this.child = spawn(process.execPath, [main, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()))
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()))
    this.#ended = once(this.child, 'close').then(([code]) => code as number | null)
    open.push(this)
  }

  get lines(): readonly string[] {
    return this.stdout.split('\n').slice(0, -1)
  }

  status(): Promise<number | null> {
    return this.#ended
  }

  async prints(what: string, condition: () => boolean): Promise<void> {
    await waitFor(condition, {
      what,
      deadlineMs: 20_000,
      explain: () => `${this.stdout}\n${this.stderr}`,
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM')
    await this.#ended
  }
}

const halted = quietSample('vdb', { state: 'HALTED', code: 'GAP', nextCommand: 'npx blockferry lag' })

describe('exit status 3, the system is unhealthy', () => {
  test.each([
    { what: 'a disk is HALTED', sample: halted, status: 3 },
    {
      what: 'a source has FAILED',
      sample: quietSample('vdb', { source: { state: 'FAILED', seenAt: '2026-11-22T10:00:00.100Z' } }),
      status: 3,
    },
    {
      what: 'a disk is only being resynced',
      sample: quietSample('vdb', { state: 'RESYNCING' }),
      status: 0,
    },
  ])('lag ends with $status when $what', async ({ sample, status }) => {
    const applier = await applierWith([quietSample('vda'), sample])
    const lag = new Command({ applier: applier.url }, 'lag')
    expect(await lag.status(), lag.stderr).toBe(status)
    const { code, nextCommand, state } = sample as Record<string, string | null>
    expect(lag.stdout).toMatch(new RegExp(`vdb +${state} .*${code ?? ''}\n`))
    if (nextCommand !== null) expect(lag.stdout).toContain(`vdb ${code}: ${nextCommand}\n`)
  })

  test.each([
    { what: 'a target is HALTED', source: 'STREAMING', target: 'HALTED', status: 3 },
    { what: 'a source has FAILED', source: 'FAILED', target: 'CONSISTENT', status: 3 },
    { what: 'all is well', source: 'STREAMING', target: 'CONSISTENT', status: 0 },
  ])('disks ends with $status when $what', async ({ source, status, target }) => {
    const applier = await applierWith([])
    const tapAgent = await applierWith([])
    applier.answers.set('/v1/disks', { disks: [{ diskId: 'vda', state: target, code: null }] })
    tapAgent.answers.set('/v1/disks', { disks: [{ diskId: 'vda', state: source, code: null }] })
    const disks = new Command({ applier: applier.url, tapAgent: tapAgent.url }, 'disks')
    expect(await disks.status(), disks.stderr).toBe(status)
    expect(disks.stdout).toMatch(new RegExp(`vda .*${source} +${target}`))
  })
})

describe('lag --watch', () => {
  const snapshot = { type: 'snapshot', sampledAt: '2026-11-22T10:00:00.123Z' }
  const update = { ...snapshot, type: 'update' }

  test('prints the feed’s messages as they come, outlives a restart of the applier, and ends with 0', async () => {
    const applier = await applierWith([])
    const watch = new Command({ applier: applier.url }, 'lag', '--watch', '--json')
    await watch.prints('a client of the feed', () => applier.clients.size === 1)
    const messages = [
      { ...snapshot, disks: [quietSample('vda'), halted] },
      { ...update, disks: [quietSample('vda', { pendingWrites: 7 })] },
    ]
    for (const message of messages) applier.send(message)
    await watch.prints('two messages', () => watch.lines.length === 2)
    expect(watch.lines.map((line) => JSON.parse(line) as object)).toEqual(messages)
    const { port } = applier
    await applier[Symbol.asyncDispose]()
    open.splice(open.indexOf(applier), 1)
    await watch.prints('that it waits', () => watch.stderr.includes('the applier is away'))
    const next = await FakeApplier.listen(port)
    open.unshift(next)
    await watch.prints('a client again', () => next.clients.size === 1)
    next.send({ ...snapshot, disks: [quietSample('vda')] })
    await watch.prints('a third message', () => watch.lines.length === 3)
    watch.child.kill('SIGTERM')
    expect(await watch.status()).toBe(0)
  })

  test('shows every disk in its table, also those that an update leaves out', async () => {
    const applier = await applierWith([])
    const watch = new Command({ applier: applier.url }, 'lag', '--watch')
    await watch.prints('a client of the feed', () => applier.clients.size === 1)
    applier.send({ ...snapshot, disks: [quietSample('vda'), halted] })
    await watch.prints('a table', () => watch.stdout.includes('HALTED'))
    const before = watch.stdout.length
    applier.send({ ...update, disks: [quietSample('vda', { pendingWrites: 4711 })] })
    await watch.prints('the next table', () => watch.stdout.includes('4711'))
    expect(watch.stdout.slice(before)).toMatch(/vda .*4711[^]*vdb +HALTED/)
  })

  test('ends with 1 and the address when nobody is there', async () => {
    const watch = new Command({ applier: 'http://127.0.0.1:9' }, 'lag', '--watch')
    expect(await watch.status()).toBe(1)
    expect(watch.stderr).toContain('SERVICE_UNREACHABLE')
    expect(watch.stderr).toContain('127.0.0.1:9')
  })
})
