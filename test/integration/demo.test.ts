import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { describeWith, requireKafka } from '../support/requirements.ts'

/** What the README shows a stranger first; fewer checks would be a thinner demo that still passes. */
const checks = [
  'the guest never waited for the WAN',
  'the cut showed as lag',
  'the target equals the source, byte for byte',
  'thin stayed thin (allocated sizes within 5 %)',
  'no recovery point is missing',
  'nothing was resynced',
  'both sites stopped in order',
]

type DemoEvent = { readonly event: string } & Readonly<Record<string, unknown>>

async function runDemo(): Promise<{ status: number | null; events: readonly DemoEvent[]; stderr: string }> {
  const main = join(import.meta.dirname, '../../cli/src/main.ts')
  const child = spawn(process.execPath, [main, 'demo', '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
  const events: DemoEvent[] = []
  let stderr = ''
  createInterface({ input: child.stdout }).on('line', (line) => events.push(JSON.parse(line) as DemoEvent))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, events, stderr }
}

describeWith([requireKafka], 'the demo', () => {
  test('ends with 0 after every check held, and leaves no process and no file', async () => {
    const { events, status, stderr } = await runDemo()
    const told = events.filter(({ event }) => event === 'check')
    const context = JSON.stringify(told, null, 1) + stderr
    expect(
      told.filter(({ held }) => held !== true),
      context,
    ).toEqual([])
    expect(
      told.map(({ name }) => name),
      context,
    ).toEqual(checks)
    expect(events.at(-1), context).toMatchObject({ event: 'end', passed: checks.length, failed: 0 })
    expect(status, context).toBe(0)
    const kinds = new Set(events.map(({ event }) => event))
    expect([...kinds].toSorted()).toEqual(['check', 'end', 'figures', 'info', 'lag', 'step'])
    const said = events.flatMap(({ event, text }) => (event === 'info' ? [String(text)] : []))
    const pids = said.flatMap((text) => [...text.matchAll(/pid (\d+)/g)].map(([, pid]) => pid))
    // Seven processes, and two that took the places of the killed.
    expect(new Set(pids).size).toBe(9)
    expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([])
    const [source] = said.filter((text) => text.endsWith('/vda.raw'))
    expect(source).toMatch(/blockferry-demo-/)
    expect(existsSync(join(source ?? '', '../..'))).toBe(false)
  })
})
