import swagger from '@fastify/swagger'
import { type FastifyBaseLogger, type FastifyInstance, fastify, LogController } from 'fastify'
import { AssertionError } from '../assert.ts'
import type { Fault } from '../errors.ts'
import { KiB } from '../units.ts'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'
import { notFoundProblem, problemContentType, problemOf } from './problem-details.ts'

export type { FastifyInstance as HttpEdge } from 'fastify'

/** No request of ours needs more. */
export const requestBodyBytesMax = 64 * KiB
/** A client that has not sent its whole request by then is cut off. */
export const requestMsMax = 10_000

export interface Readiness {
  readonly ready: boolean
  /** Why not, in words, when not ready. */
  readonly reasons: readonly string[]
}

export interface HttpEdgeOptions {
  readonly service: string
  readonly metrics: Metrics
  readonly logger: Logger
  readonly readiness: () => Readiness
  /** HTTP status of a Fault; the default answers 500 for all. Map UNKNOWN_DISK to 404 and the like here. */
  readonly statusOf?: (fault: Fault) => number
}

const readinessSchema = {
  type: 'object',
  required: ['ready', 'reasons'],
  properties: { ready: { type: 'boolean' }, reasons: { type: 'array', items: { type: 'string' } } },
} as const

/**
 * The HTTP side that every service has: /health/live, /health/ready (503 with the reasons), /metrics,
 * /openapi.json, and problem details for every error. Register routes on the result, then `listen`.
 */
export async function createHttpEdge(options: HttpEdgeOptions): Promise<FastifyInstance> {
  // The service says itself where it listens; the framework's own lines would say it twice.
  const loggerInstance: FastifyBaseLogger = options.logger.child({}, { level: 'warn' })
  const app = fastify({
    loggerInstance,
    // Scrapes and probes would drown every other line.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: requestBodyBytesMax,
    requestTimeout: requestMsMax,
    forceCloseConnections: true,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: 'array', allErrors: true } },
  })
  await app.register(swagger, {
    openapi: { openapi: '3.1.0', info: { title: `Blockferry ${options.service}`, version: '1' } },
  })
  answerErrors(app, options)
  serveHealth(app, options)
  serveDescriptions(app, options)
  return app
}

function answerErrors(app: FastifyInstance, options: HttpEdgeOptions): void {
  const statusOf = options.statusOf ?? (() => 500)
  app.setErrorHandler(async (error, request, reply) => {
    if (error instanceof AssertionError) crashWith(error)
    const problem = problemOf(error, statusOf)
    if (problem.status >= 500) {
      options.logger.error({ err: error, method: request.method, url: request.url }, 'request failed')
    }
    return reply.code(problem.status).type(problemContentType).send(JSON.stringify(problem))
  })
  app.setNotFoundHandler(async (request, reply) => {
    const problem = notFoundProblem(request.method, request.url)
    return reply.code(404).type(problemContentType).send(JSON.stringify(problem))
  })
}

/** A broken invariant is never answered away: it leaves the framework's reach and ends the process. */
function crashWith(error: AssertionError): void {
  setImmediate(() => {
    throw error
  })
}

function serveHealth(app: FastifyInstance, options: HttpEdgeOptions): void {
  const live = {
    type: 'object',
    required: ['status'],
    properties: { status: { type: 'string', const: 'live' } },
  } as const
  app.get(
    '/health/live',
    { schema: { summary: 'Answers while the process runs.', response: { 200: live } } },
    async () => ({ status: 'live' }),
  )
  const response = { 200: readinessSchema, 503: readinessSchema }
  app.get(
    '/health/ready',
    { schema: { summary: 'Whether the service does its work; why not, when not.', response } },
    async (_request, reply) => {
      const readiness = options.readiness()
      return reply.code(readiness.ready ? 200 : 503).send(readiness)
    },
  )
}

function serveDescriptions(app: FastifyInstance, options: HttpEdgeOptions): void {
  const { registry } = options.metrics
  app.get(
    '/metrics',
    { schema: { summary: 'Metrics in the Prometheus text format.', produces: [registry.contentType] } },
    async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()),
  )
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
}
