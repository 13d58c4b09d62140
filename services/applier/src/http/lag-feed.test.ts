import { EventEmitter, once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type WebSocket as ServerSocket } from '@fastify/websocket'
import { KiB } from '@blockferry/runtime'
import { createHttpEdge, createLogger, createMetrics, type HttpEdge } from '@blockferry/runtime/service'
import type { LagMessage } from '../lag/lag-sample.ts'
import { TargetWorld } from '../../testing/target-world.ts'
import { watchApplier } from './applier-metrics.ts'
import { type LagFeed, type LagFeedLimits, lagFeedLimits } from './lag-feed.ts'
import { LagFrames } from './lag-frames.ts'
import { serveApplier } from './serve-applier.ts'

let closeAll: () => Promise<void> = async () => {}
afterEach(async () => closeAll())

async function inSync(...diskIds: readonly string[]): Promise<TargetWorld> {
  const world = new TargetWorld({ applyIntervalMs: 50 })
  for (const diskId of diskIds) {
    const disk = world.source(diskId)
    disk.write(1, 1)
    world.arrive(disk.fullSync())
  }
  await world.start()
  await world.time.until(() => diskIds.every((diskId) => world.drained(diskId)), 'the sync')
  return world
}

async function served(
  limits: LagFeedLimits,
): Promise<{ world: TargetWorld; feed: LagFeed; edge: HttpEdge; metrics: () => Promise<string> }> {
  const world = await inSync('vda', 'vdb')
  const metrics = createMetrics('applier')
  watchApplier(metrics, world.live)
  const logger = createLogger({ service: 'applier', level: 'silent' })
  const readiness = () => ({ ready: true, reasons: [] })
  const edge = await createHttpEdge({ service: 'applier', metrics, logger, readiness })
  const feed = await serveApplier(edge, world.live, limits)
  closeAll = async () => {
    feed.close()
    await edge.close()
    await world.stop()
    metrics[Symbol.dispose]()
  }
  return { world, feed, edge, metrics: async () => (await edge.inject('/metrics')).body }
}

/** A watcher that took its upgrade and says nothing any more, as a suspended laptop does. */
async function silentWatcher(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  const key = Buffer.alloc(16).toString('base64')
  const lines = ['GET /v1/lag HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket']
  socket.write([...lines, 'Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${key}`, '', ''].join('\r\n'))
  await once(socket, 'data')
  socket.pause()
  return socket
}

/** A client of whose reading the test decides. */
class Viewer extends EventEmitter {
  readonly OPEN = 1
  readyState = 1
  bufferedAmount = 0
  readonly sent: Buffer[] = []
  readonly closed: number[] = []

  join(feed: LagFeed, filter: object = {}): this {
    feed.join(this as unknown as ServerSocket, filter)
    return this
  }

  send(message: Buffer): void {
    this.sent.push(message)
  }

  ping(): void {}

  close(code: number): void {
    this.closed.push(code)
    this.readyState = 2
  }

  terminate(): void {
    if (this.readyState === 3) return
    this.readyState = 3
    this.bufferedAmount = 0
    this.emit('close')
  }

  get isGone(): boolean {
    return this.readyState === 3
  }
}

/** Anything that every client is told at once. */
function change({ live }: TargetWorld, diskId = 'vda'): void {
  const disk = live.volume.disk(diskId)
  live.volume.raise(disk, 'apply', { code: 'TARGET_FAILED', nextCommand: 'look', message: 'on purpose' })
  live.volume.clear(disk, 'apply')
}

const parsed = (message: Buffer | undefined): LagMessage => JSON.parse(String(message)) as LagMessage

describe('what the feed sends', () => {
  test('is measured and encoded once, and the same bytes for all who asked for the same (L3)', async () => {
    const { world, feed } = await served(lagFeedLimits)
    const measured = vi.spyOn(world.live.lag, 'sample')
    const all = Array.from({ length: 50 }, () => new Viewer().join(feed))
    const some = Array.from({ length: 50 }, () => new Viewer().join(feed, { disk: 'vdb' }))
    // Two disks, measured for the first snapshot; again only if the loop took longer than snapshots stay fresh.
    expect(measured.mock.calls.length).toBeLessThan(10)
    await vi.waitUntil(() => all.every((viewer) => viewer.sent.length === 2), { timeout: 5_000 })
    expect(measured.mock.calls.length).toBeLessThan(12)
    for (const viewers of [all, some]) {
      const [first] = viewers
      for (const viewer of viewers) expect(viewer.sent[1]).toBe(first?.sent[1])
    }
    expect(parsed(all[0]?.sent[0]).disks.map(({ diskId }) => diskId)).toEqual(['vda', 'vdb'])
    expect(parsed(some[0]?.sent[1])).toMatchObject({ type: 'update', disks: [{ diskId: 'vdb' }] })
  })

  test('is, after a snapshot or a state change, whatever differs from those too', async () => {
    const world = await inSync('vda')
    closeAll = () => world.stop()
    const disk = world.live.volume.disk('vda')
    const original = world.live.lag.sample(disk)
    let sample = original
    const lag = Object.assign(Object.create(world.live.lag) as typeof world.live.lag, {
      sample: () => sample,
      samples: () => [sample],
    })
    let nowMs = 0
    const frames = new LagFrames(lag, () => nowMs)
    const told = (frame: { for(filter: object): Buffer }) =>
      parsed(frame.for({})).disks.map(({ pendingWrites }) => pendingWrites)
    expect(told(frames.update())).toEqual([0])
    expect(told(frames.update())).toEqual([])
    // Somebody joins in a passing moment, and must hear that it passed.
    sample = { ...original, pendingWrites: 7 }
    nowMs += 1_000
    expect(told(frames.snapshot())).toEqual([7])
    sample = original
    expect(told(frames.snapshot())).toEqual([7])
    expect(told(frames.update())).toEqual([0])
    sample = { ...original, pendingWrites: 8 }
    expect(told(frames.stateChange(disk))).toEqual([8])
    sample = original
    expect(told(frames.update())).toEqual([0])
    sample = { ...original, pendingWrites: 9 }
    expect(told(frames.stateChange(disk))).toEqual([9])
    expect(told(frames.snapshot())).toEqual([9])
    expect(told(frames.update())).toEqual([9])
    sample = { ...sample, sampledAt: '2099-01-01T00:00:00.000Z' }
    expect(told(frames.update())).toEqual([])
  })
})

describe('the limits of the feed', () => {
  test('of unread bytes over all clients: the slowest is closed with 1013, the others are served on (L4)', async () => {
    const { world, feed, metrics } = await served({ ...lagFeedLimits, bufferedBytesTotalMax: 100 * KiB })
    const [slowest, slow, fast] = [60, 50, 10].map((kib) => {
      const viewer = new Viewer().join(feed)
      viewer.bufferedAmount = kib * KiB
      return viewer
    })
    change(world)
    expect(slowest?.closed).toEqual([1013])
    expect(slow?.closed).toEqual([])
    expect(fast?.closed).toEqual([])
    expect(await metrics()).toMatch(/applier_lag_clients_dropped_total\{service="applier"\} 1/)
    // It has not taken its leave: before a second one has to go, it is cut off.
    expect(slowest?.isGone).toBe(true)
    slow!.bufferedAmount = 80 * KiB
    change(world)
    expect(slow?.closed).toEqual([])
    slow!.bufferedAmount = 95 * KiB
    change(world)
    expect(slow?.closed).toEqual([1013])
    expect(fast?.closed).toEqual([])
    expect(fast?.sent.length).toBeGreaterThan(6)
    expect(await metrics()).toMatch(/applier_lag_buffered_bytes\{service="applier"\} \d+/)
  })

  test('of clients: one too many is closed with 1013, told apart in a metric, and let in when another has left', async () => {
    const { feed, metrics } = await served({ ...lagFeedLimits, clientsMax: 2 })
    const [first, second] = [new Viewer().join(feed), new Viewer().join(feed)]
    const third = new Viewer().join(feed)
    expect(third).toMatchObject({ closed: [1013], sent: [] })
    expect([first.closed, second.closed]).toEqual([[], []])
    expect(await metrics()).toMatch(/applier_lag_clients_refused_total\{service="applier"\} 1/)
    expect(await metrics()).toMatch(/applier_lag_clients\{service="applier"\} 2/)
    first.terminate()
    expect(new Viewer().join(feed)).toMatchObject({ closed: [] })
  })
})

test('a stop waits a second, and no longer, for a watcher that answers nothing', async () => {
  const { edge, feed } = await served(lagFeedLimits)
  await edge.listen({ host: '127.0.0.1', port: 0 })
  const watcher = await silentWatcher((edge.server.address() as AddressInfo).port)
  const startedMs = performance.now()
  feed.close()
  await edge.close()
  expect(performance.now() - startedMs).toBeLessThan(5_000)
  watcher.destroy()
})
