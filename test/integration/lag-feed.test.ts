import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { waitFor } from '@blockferry/cli'
import { createHttpEdge, createLogger, createMetrics } from '@blockferry/runtime/service'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { serveApplier } from '../../services/applier/src/http/serve-applier.ts'
import { TargetWorld } from '../../services/applier/testing/target-world.ts'

/* The live feed over real sockets: who is dead is found by pings, who reads too slowly hurts nobody else. */

/** A peer that answers nothing is gone after two of these. */
const pingMs = 15_000
const answerMsMax = 10_000
/** A frame of the feed is a kilobyte: far more than the buffers of both ends and the feed's limit take. */
const messagesMax = 200_000

let world: TargetWorld
let url = ''
let close: () => Promise<void>
const sockets: WebSocket[] = []

beforeEach(async () => {
  // Only the feed's own beat is the test's; sockets live in real time.
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  world = new TargetWorld({ applyIntervalMs: 50 })
  world.arrive(world.source('vda').fullSync())
  await world.start()
  await world.time.until(() => world.drained('vda'), 'vda')
  const metrics = createMetrics('applier')
  const logger = createLogger({ service: 'applier', level: 'silent' })
  const readiness = () => ({ ready: true, reasons: [] })
  const edge = await createHttpEdge({ service: 'applier', metrics, logger, readiness })
  const feed = await serveApplier(edge, world.live)
  const http = await edge.listen({ host: '127.0.0.1', port: 0 })
  url = `${http.replace(/^http/, 'ws')}/v1/lag`
  close = async () => {
    feed.close()
    await edge.close()
    await world.stop()
    metrics[Symbol.dispose]()
  }
})

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate()
  await close()
  vi.useRealTimers()
})

interface Watcher {
  readonly socket: WebSocket
  readonly messages: string[]
  closeCode: number | null
}

async function watch(options: { readonly autoPong?: boolean } = {}): Promise<Watcher> {
  const socket = new WebSocket(url, options)
  sockets.push(socket)
  const watcher: Watcher = { socket, messages: [], closeCode: null }
  socket.on('message', (data: Buffer) => watcher.messages.push(data.toString()))
  socket.on('close', (code) => {
    watcher.closeCode = code
  })
  await waitFor(() => watcher.messages.length === 1, { what: 'the snapshot', deadlineMs: 10_000 })
  return watcher
}

/** The feed pings everybody; returns once its side has read all that this client answered. */
async function beat(watcher: Watcher): Promise<void> {
  const pinged = once(watcher.socket, 'ping', { signal: AbortSignal.timeout(answerMsMax) })
  vi.advanceTimersByTime(pingMs)
  await pinged
  const answered = once(watcher.socket, 'pong', { signal: AbortSignal.timeout(answerMsMax) })
  watcher.socket.ping()
  await answered
}

function changeState(): void {
  const { volume } = world.live
  const disk = volume.disk('vda')
  volume.raise(disk, 'apply', { code: 'TARGET_FAILED', nextCommand: 'look', message: 'on purpose' })
  volume.clear(disk, 'apply')
}

test('a client that answers no ping is cut off at the second; one that does stays (L2)', async () => {
  const dead = await watch({ autoPong: false })
  const alive = await watch()
  await beat(alive)
  expect([dead.closeCode, alive.closeCode]).toEqual([null, null])
  await beat(alive)
  await waitFor(() => dead.closeCode !== null, { what: 'the dead one to be cut off', deadlineMs: 10_000 })
  expect(dead.closeCode).toBe(1006)
  expect(world.live.volume.stats.lagClients).toBe(1)
  await beat(alive)
  const before = alive.messages.length
  changeState()
  await waitFor(() => alive.messages.length > before, { what: 'an update', deadlineMs: 10_000 })
})

test('a client that does not read is closed with 1013 at its limit; its neighbour misses nothing (L1)', async () => {
  const slow = await watch()
  const quick = await watch()
  slow.socket.pause()
  let changes = 0
  while (world.live.volume.stats.lagClientsDropped === 0) {
    expect(changes, 'changes until the slow one is dropped').toBeLessThan(messagesMax)
    changeState()
    changes += 1
    if (changes % 50 === 0) await turn()
  }
  changeState()
  await waitFor(() => quick.messages.length >= 1 + 2 * (changes + 1), {
    what: 'the neighbour to have every change',
    deadlineMs: 30_000,
    explain: () => `${quick.messages.length} of ${1 + 2 * (changes + 1)}`,
  })
  expect(quick.closeCode).toBeNull()
  slow.socket.resume()
  await waitFor(() => slow.closeCode !== null, { what: 'the slow one to be closed', deadlineMs: 10_000 })
  expect(slow.closeCode).toBe(1013)
  expect(slow.messages.length).toBeLessThan(quick.messages.length)
})
