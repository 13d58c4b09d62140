import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { systemClock } from '@blockferry/runtime/service'
import { afterEach, describe, expect, test } from 'vitest'
import { Link, type LinkSettings } from './link.ts'
import { waitFor } from '../lab-client/wait-for.ts'
import { openWanProxy, type WanProxy } from './proxy.ts'

const upLink: LinkSettings = { up: true, bytesPerSecond: null, latencyMs: 0 }
const open: { server: Server; sockets: Socket[]; proxy: WanProxy }[] = []

afterEach(async () => {
  for (const { server, sockets, proxy } of open.splice(0)) {
    await proxy[Symbol.asyncDispose]()
    for (const socket of sockets) socket.destroy()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
})

/** An echo server behind a proxied link. */
async function openLink(settings: LinkSettings) {
  const sockets: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket)
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const link = new Link(systemClock, settings)
  const failures: unknown[] = []
  const waiting = { forward: 0, backward: 0 }
  const proxy = await openWanProxy({
    clock: systemClock,
    link,
    listen: { host: '127.0.0.1', port: 0 },
    target: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    onBytes: () => {},
    onWaiting: (direction, deltaBytes) => {
      waiting[direction] += deltaBytes
    },
    onFailure: (error) => failures.push(error),
  })
  open.push({ server, sockets, proxy })
  return { link, proxy, sockets, failures, waiting }
}

function dial(proxy: WanProxy) {
  const socket = connect({ ...proxy.address, allowHalfOpen: true })
  const received: Buffer[] = []
  const events: string[] = []
  socket.on('data', (chunk) => received.push(chunk))
  for (const event of ['end', 'close', 'error'] as const) socket.on(event, () => events.push(event))
  return { socket, events, received: () => Buffer.concat(received) }
}

function until(condition: () => boolean, what: string): Promise<void> {
  return waitFor(condition, { what, deadlineMs: 10_000, everyMs: 5 })
}

/**
 * As long as a silence has to be observed: another link of the same process carries there and back, time
 * and again, what the silent one does not.
 */
async function othersCarry(): Promise<void> {
  const { proxy } = await openLink(upLink)
  const { socket, received } = dial(proxy)
  for (let trips = 1; trips <= 20; trips += 1) {
    socket.write('x')
    await until(() => received().length === trips, `round trip ${trips} of another link`)
  }
}

describe('the WAN proxy', () => {
  test('carries bytes both ways in order and passes each end on by itself (W3)', async () => {
    const { proxy, failures } = await openLink(upLink)
    const { socket, received, events } = dial(proxy)
    const sent = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 251))
    socket.end(sent)
    await until(() => events.includes('end'), 'the echo ends')
    expect(received().equals(sent)).toBe(true)
    await until(() => proxy.connections() === 0, 'the proxy let go of the connection')
    expect(failures).toEqual([])
  })

  test('keeps a cut connection open and silent, and loses nothing when the link returns (W1)', async () => {
    const { link, proxy, waiting } = await openLink(upLink)
    const { socket, received, events } = dial(proxy)
    socket.write('before')
    await until(() => received().toString() === 'before', 'the first echo')
    link.set({ ...upLink, up: false })
    socket.write('during')
    await until(() => waiting.forward === 'during'.length, 'the bytes wait at the link')
    await othersCarry()
    expect(received().toString()).toBe('before')
    expect(events).toEqual([])
    link.set(upLink)
    await until(() => received().toString() === 'beforeduring', 'the second echo')
    expect(waiting).toEqual({ forward: 0, backward: 0 })
  })

  test('accepts a new connection during a cut without answering it (W1)', async () => {
    const { link, proxy, sockets } = await openLink({ ...upLink, up: false })
    const { socket, received, events } = dial(proxy)
    socket.write('hello')
    await othersCarry()
    expect(sockets).toHaveLength(0)
    expect(events).toEqual([])
    link.set(upLink)
    await until(() => received().toString() === 'hello', 'the echo after the cut')
  })

  test('tells nobody of a peer that vanished during a cut until the link is back (W1)', async () => {
    const { link, proxy, sockets, waiting } = await openLink(upLink)
    const { socket, received } = dial(proxy)
    socket.write('x')
    await until(() => received().length === 1, 'the connection carries')
    link.set({ ...upLink, up: false })
    socket.write('lost with its sender')
    await until(() => waiting.forward > 0, 'bytes wait at the link')
    socket.resetAndDestroy()
    await othersCarry()
    expect(sockets[0]?.destroyed).toBe(false)
    link.set(upLink)
    await until(() => sockets[0]?.destroyed === true, 'the other side hears of it')
    await until(() => proxy.connections() === 0, 'the proxy let go')
    expect(waiting).toEqual({ forward: 0, backward: 0 })
  })

  test('does not let more through than the link’s capacity', async () => {
    const { proxy } = await openLink({ ...upLink, bytesPerSecond: 1_000_000 })
    const { socket, received } = dial(proxy)
    const startedMs = performance.now()
    socket.write(Buffer.alloc(300_000))
    await until(() => received().length === 300_000, 'the echo of 300 kB')
    const tookMs = performance.now() - startedMs
    expect(tookMs).toBeGreaterThan(230)
    expect(tookMs).toBeLessThan(3000)
  })

  test('delays each direction by the latency without slowing the flow down', async () => {
    const { proxy } = await openLink({ ...upLink, latencyMs: 40 })
    const { socket, received } = dial(proxy)
    const startedMs = performance.now()
    socket.write(Buffer.alloc(2_000_000))
    await until(() => received().length >= 1, 'the first byte')
    expect(performance.now() - startedMs).toBeGreaterThan(79)
    await until(() => received().length === 2_000_000, 'the echo of 2 MB')
    expect(performance.now() - startedMs).toBeLessThan(2000)
  })
})
