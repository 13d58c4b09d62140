import { createServer } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Fault } from '../errors.ts'
import { createLogger } from './logger.ts'
import { systemClock } from './system-clock.ts'
import { waitForRepair } from './wait-for-repair.ts'

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function begin() {
  const port = await freePort()
  const state = {
    fault: new Fault('ENOSPC', '/state is full', { nextCommand: 'df -h /state' }) as Fault | null,
  }
  const lines: string[] = []
  const stop = new AbortController()
  const waiting = waitForRepair({
    service: 'test',
    httpListen: { host: '127.0.0.1', port },
    clock: { ...systemClock, sleep: (delayMs, signal) => systemClock.sleep(Math.min(delayMs, 5), signal) },
    logger: createLogger({ service: 'test', destination: { write: (line) => void lines.push(line) } }),
    signal: stop.signal,
    look: async () => {
      if (state.fault !== null) throw state.fault
    },
  })
  onTestFinished(async () => {
    state.fault = null
    await waiting.catch(() => {})
  })
  const ask = async (what: string) => fetch(`http://127.0.0.1:${port}/health/${what}`)
  const listens = async () => (await ask('live').catch(() => null))?.status === 200
  return { ask, lines, listens, state, stop, waiting }
}

describe('waiting for a repair', () => {
  test('is live and not ready, and says what is wrong and what to do next', async () => {
    const { ask, lines, listens } = await begin()
    await expect.poll(listens, { timeout: 10_000 }).toBe(true)
    const ready = await ask('ready')
    expect(ready.status).toBe(503)
    expect(await ready.json()).toEqual({
      ready: false,
      reasons: ['ENOSPC: /state is full; next: df -h /state'],
    })
    const said = lines.filter((line) => line.includes('"event":"cannot-start"'))
    expect(said).toHaveLength(1)
    expect(said[0]).toContain('"nextCommand":"df -h /state"')
  })

  test('ends when the repair is done, and gives its port free', async () => {
    const { listens, state, waiting } = await begin()
    await expect.poll(listens, { timeout: 10_000 }).toBe(true)
    state.fault = null
    await waiting
    expect(await listens()).toBe(false)
  })

  test('ends when a stop is asked for', async () => {
    const { listens, stop, waiting } = await begin()
    await expect.poll(listens, { timeout: 10_000 }).toBe(true)
    stop.abort()
    await expect(waiting).rejects.toThrow(/abort/i)
  })

  test('says another reason as soon as it is another', async () => {
    const { lines, listens, state } = await begin()
    await expect.poll(listens, { timeout: 10_000 }).toBe(true)
    state.fault = new Fault('EACCES', '/state is not ours', { nextCommand: 'chown' })
    await expect.poll(() => lines.some((line) => line.includes('EACCES')), { timeout: 10_000 }).toBe(true)
  })
})
