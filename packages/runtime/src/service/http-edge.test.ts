import { afterEach, describe, expect, test } from 'vitest'
import { Fault } from '../errors.ts'
import { createHttpEdge, type HttpEdge } from './http-edge.ts'
import { createLogger } from './logger.ts'
import { createMetrics } from './metrics.ts'

const open: { app: HttpEdge; dispose: () => void }[] = []
const lines: string[] = []

afterEach(async () => {
  for (const { app, dispose } of open.splice(0)) {
    await app.close()
    dispose()
  }
  lines.length = 0
})

async function openEdge(ready: boolean): Promise<HttpEdge> {
  const metrics = createMetrics('test')
  const app = await createHttpEdge({
    service: 'test',
    metrics,
    logger: createLogger({ service: 'test', destination: { write: (line) => void lines.push(line) } }),
    readiness: () => ({ ready, reasons: ready ? [] : ['Kafka A is away'] }),
    statusOf: (fault) => (fault.code === 'UNKNOWN_DISK' ? 404 : 500),
  })
  const schema = { querystring: { type: 'object', properties: { limit: { type: 'integer', minimum: 1 } } } }
  app.route({ method: 'GET', url: '/v1/echo', schema, handler: async ({ query }) => query })
  app.route({
    method: 'GET',
    url: '/v1/fault',
    handler: async () => {
      throw new Fault('UNKNOWN_DISK', 'no disk vdz', { nextCommand: 'blockferry disks' })
    },
  })
  app.route({
    method: 'GET',
    url: '/v1/bug',
    handler: async () => {
      throw new TypeError('secret inside')
    },
  })
  open.push({ app, dispose: () => metrics[Symbol.dispose]() })
  return app
}

describe('the HTTP edge', () => {
  test('is live at once and says why it is not ready', async () => {
    const app = await openEdge(false)
    expect((await app.inject('/health/live')).json()).toEqual({ status: 'live' })
    const answer = await app.inject('/health/ready')
    expect(answer.statusCode).toBe(503)
    expect(answer.json()).toEqual({ ready: false, reasons: ['Kafka A is away'] })
    const ready = await (await openEdge(true)).inject('/health/ready')
    expect(ready.statusCode).toBe(200)
  })

  test.each([
    { url: '/v1/fault', status: 404, code: 'UNKNOWN_DISK', nextCommand: 'blockferry disks' },
    {
      url: '/v1/echo?limit=0',
      status: 400,
      code: 'INVALID_REQUEST',
      nextCommand: 'compare the request with GET /openapi.json',
    },
    {
      url: '/v1/nothing',
      status: 404,
      code: 'NOT_FOUND',
      nextCommand: 'GET /openapi.json lists every route',
    },
    {
      url: '/v1/bug',
      status: 500,
      code: 'INTERNAL',
      nextCommand: 'read the service log at the time of the request',
    },
  ])('answers $url with problem details', async ({ url, status, code, nextCommand }) => {
    const answer = await (await openEdge(true)).inject(url)
    expect(answer.statusCode).toBe(status)
    expect(answer.headers['content-type']).toContain('application/problem+json')
    expect(answer.json()).toMatchObject({ status, code, nextCommand, type: `urn:blockferry:error:${code}` })
    expect(answer.body).not.toContain('secret inside')
  })

  test('logs what it could not explain to the client', async () => {
    await (await openEdge(true)).inject('/v1/bug')
    expect(lines.join('')).toContain('secret inside')
  })

  test('describes its routes and shows its metrics', async () => {
    const app = await openEdge(true)
    const paths = Object.keys((await app.inject('/openapi.json')).json<{ paths: object }>().paths)
    expect(paths).toEqual(expect.arrayContaining(['/health/live', '/health/ready', '/metrics', '/v1/echo']))
    const metrics = await app.inject('/metrics')
    expect(metrics.body).toContain('blockferry_process_resident_memory_bytes{service="test"}')
    expect(metrics.body).toContain('blockferry_event_loop_delay_p99_seconds')
  })
})
