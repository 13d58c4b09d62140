import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterEach, describe, expect, test } from 'vitest'
import { type WebSocket as ServerSocket } from '@fastify/websocket'
import { createHttpEdge, createLogger, createMetrics, type HttpEdge } from '@blockferry/runtime/service'
import type { LagMessage } from '../lag/lag-sample.ts'
import { TargetWorld } from '../../testing/target-world.ts'
import { bufferedBytesMax, type LagFeed } from './lag-feed.ts'
import { watchApplier } from './applier-metrics.ts'
import { lagMessageSchema } from './lag-schema.ts'
import { applierReadiness } from './readiness.ts'
import { serveApplier, statusOfFault } from './serve-applier.ts'

const ajv = new Ajv2020({
  strict: false,
  formats: { 'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/ },
})
const isLagMessage = ajv.compile(lagMessageSchema)

let closeAll: () => Promise<void> = async () => {}
afterEach(async () => closeAll())

/** A served applier whose disk vda is in sync, with one named recovery point, beside a halted disk vdb. */
async function served(): Promise<{ world: TargetWorld; edge: HttpEdge; feed: LagFeed }> {
  const world = new TargetWorld({ applyIntervalMs: 50 })
  const vda = world.source('vda')
  const vdb = world.source('vdb')
  vda.write(1, 1, 4)
  world.arrive(vda.fullSync(), vda.cut({ cutId: '1'.repeat(32), name: 'before-upgrade' }))
  vdb.write(1, 1)
  vdb.set()
  vdb.write(2, 2)
  world.arrive(vdb.set())
  await world.start()
  await world.time.until(() => world.drained('vda') && world.requests().length > 0, 'vda')
  const metrics = createMetrics('applier')
  const logger = createLogger({ service: 'applier', level: 'silent' })
  watchApplier(metrics, world.live)
  const readiness = () => applierReadiness(world.live)
  const edge = await createHttpEdge({
    service: 'applier',
    metrics,
    logger,
    readiness,
    statusOf: statusOfFault,
  })
  const feed = await serveApplier(edge, world.live)
  await edge.ready()
  closeAll = async () => {
    feed.close()
    await edge.close()
    await world.stop()
    metrics[Symbol.dispose]()
  }
  return { world, edge, feed }
}

interface OpenApi {
  readonly paths: Readonly<
    Record<string, { get?: { responses: Record<string, { content?: Record<string, object> }> } }>
  >
}

/** A feed client and the messages it got. */
async function watch(
  edge: HttpEdge,
  path: string,
): Promise<{ socket: ServerSocket; next: () => Promise<LagMessage> }> {
  const messages: LagMessage[] = []
  let wake = () => {}
  const socket = await edge.injectWS(
    path,
    {},
    {
      onInit: (client) =>
        client.on('message', (data) => {
          messages.push(JSON.parse((data as Buffer).toString('utf8')) as LagMessage)
          wake()
        }),
    },
  )
  const next = async (): Promise<LagMessage> => {
    while (messages.length === 0) await new Promise<void>((resolve) => (wake = resolve))
    return messages.shift() as LagMessage
  }
  return { socket, next }
}

describe('the applier’s REST', () => {
  test('gives every sample of every state as the published schema says', async () => {
    const { edge } = await served()
    const answer = await edge.inject('/v1/lag')
    const message: unknown = answer.json()
    expect(isLagMessage(message), JSON.stringify(isLagMessage.errors)).toBe(true)
    expect(message).toMatchObject({
      type: 'snapshot',
      disks: [
        { diskId: 'vda', state: 'CONSISTENT', code: null, pendingWrites: 0, groupState: null },
        { diskId: 'vdb', state: 'HALTED', code: 'GAP', recoveryPointAgeMs: null, applied: null },
      ],
    })
  })

  test('publishes that schema in docs/', () => {
    const published = readFileSync(new URL('../../../../docs/lag-feed.schema.json', import.meta.url), 'utf8')
    expect(JSON.parse(published)).toEqual(JSON.parse(JSON.stringify(lagMessageSchema)))
  })

  test('lists disks, and answers 404 with problem details for one it does not know', async () => {
    const { edge } = await served()
    const { disks } = (await edge.inject('/v1/disks')).json<{ disks: object[] }>()
    expect(disks).toMatchObject([
      { diskId: 'vda', openable: true, target: 'memory/vda', sizeBytes: 65536 },
      { diskId: 'vdb', openable: false, code: 'GAP' },
    ])
    const missing = await edge.inject('/v1/disks/nobody')
    expect(missing.statusCode).toBe(404)
    expect(missing.headers['content-type']).toContain('application/problem+json')
    expect(missing.json()).toMatchObject({ code: 'UNKNOWN_DISK', status: 404 })
  })

  test('lists recovery points by disk and time; a bad query is a problem, not a crash', async () => {
    const { edge } = await served()
    const found = (await edge.inject('/v1/recovery-points?disk=vda')).json<object>()
    expect(found).toMatchObject({
      recoveryPoints: [{ cutId: '1'.repeat(32), name: 'before-upgrade', members: ['vda'], openable: true }],
      nextCursor: null,
    })
    expect((await edge.inject('/v1/recovery-points?from=2099-01-01T00:00:00Z')).json()).toMatchObject({
      recoveryPoints: [],
    })
    const bad = await edge.inject('/v1/recovery-points?from=yesterday')
    expect(bad.statusCode).toBe(400)
    expect(bad.json()).toMatchObject({ code: 'INVALID_REQUEST' })
  })

  test('is not ready while a disk is halted, and says which', async () => {
    const { edge } = await served()
    const answer = await edge.inject('/health/ready')
    expect(answer.statusCode).toBe(503)
    expect(answer.json()).toMatchObject({
      ready: false,
      reasons: [expect.stringMatching(/^disk vdb is HALTED \(GAP\): .+; next: .+/)],
    })
  })

  test('serves metrics, a description and the live page', async () => {
    const { edge } = await served()
    const metrics = (await edge.inject('/metrics')).body
    expect(metrics).toContain('blockferry_disk_state{disk="vda",state="CONSISTENT",service="applier"} 1')
    expect(metrics).toMatch(/blockferry_applier_sets_accepted_total\{service="applier"\} 2/)
    const { paths } = (await edge.inject('/openapi.json')).json<{ paths: object }>()
    expect(Object.keys(paths)).toEqual(
      expect.arrayContaining(['/v1/lag', '/v1/disks', '/v1/recovery-points']),
    )
    expect((await edge.inject('/')).body).toContain('<title>Blockferry')
  })

  test('describes every problem that a route answers, as problem+json', async () => {
    const { edge } = await served()
    const { paths } = (await edge.inject('/openapi.json')).json<OpenApi>()
    const problemsOf = (path: string) =>
      Object.entries(paths[path]?.get?.responses ?? {})
        .filter(([, { content }]) => content !== undefined && 'application/problem+json' in content)
        .map(([status]) => status)
    expect(problemsOf('/v1/disks/{id}')).toEqual(['404'])
    expect(problemsOf('/v1/lag')).toEqual(['400'])
    expect(problemsOf('/v1/recovery-points')).toEqual(['400'])
  })
})

describe('the live feed', () => {
  test('begins with a snapshot, then sends what changed, and state changes as they happen', async () => {
    const { world, edge } = await served()
    const { socket, next } = await watch(edge, '/v1/lag?disk=vda')
    const snapshot = await next()
    expect(isLagMessage(snapshot), JSON.stringify(isLagMessage.errors)).toBe(true)
    expect(snapshot).toMatchObject({ type: 'snapshot', disks: [{ diskId: 'vda' }] })
    const disk = world.live.volume.disk('vda')
    world.live.volume.raise(disk, 'apply', {
      code: 'TARGET_FAILED',
      nextCommand: 'look',
      message: 'on purpose',
    })
    expect(await next()).toMatchObject({
      type: 'update',
      disks: [{ state: 'HALTED', code: 'TARGET_FAILED' }],
    })
    world.live.volume.clear(disk, 'apply')
    expect(await next()).toMatchObject({ type: 'update', disks: [{ state: 'CONSISTENT' }] })
    const update = await next()
    expect(update.type).toBe('update')
    expect(update.disks.every((sample) => sample.diskId === 'vda')).toBe(true)
    socket.terminate()
  })

  test('shows nothing of other groups to a client that asked for one', async () => {
    const { edge } = await served()
    const { socket, next } = await watch(edge, '/v1/lag?group=db')
    expect(await next()).toMatchObject({ type: 'snapshot', disks: [] })
    socket.terminate()
  })

  test('closes a client that reads too slowly with 1013 and sends it nothing more', async () => {
    const { world, feed } = await served()
    const sent: string[] = []
    const closed: number[] = []
    const slow = {
      OPEN: 1,
      readyState: 1,
      bufferedAmount: 0,
      on: () => slow,
      send: (text: string) => sent.push(text),
      close: (code: number) => closed.push(code),
      terminate: () => {},
    }
    feed.join(slow as unknown as ServerSocket, {})
    expect(sent).toHaveLength(1)
    slow.bufferedAmount = bufferedBytesMax + 1
    const disk = world.live.volume.disk('vda')
    world.live.volume.raise(disk, 'apply', {
      code: 'TARGET_FAILED',
      nextCommand: 'look',
      message: 'on purpose',
    })
    world.live.volume.clear(disk, 'apply')
    expect(closed).toEqual([1013])
    expect(sent).toHaveLength(1)
    expect(world.live.volume.stats.lagClientsDropped).toBe(1)
  })
})
