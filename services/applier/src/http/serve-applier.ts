import { readFileSync } from 'node:fs'
import type { Fault } from '@blockferry/runtime'
import { type HttpEdge, problemResponses } from '@blockferry/runtime/service'
import type { Applier } from '../applier.ts'
import { serveDisks } from './disk-routes.ts'
import { type LagFeed, type LagFeedLimits, lagFeedLimits, serveLagFeed } from './lag-feed.ts'
import { lagMessageSchema } from './lag-schema.ts'
import { serveRecoveryPoints } from './recovery-point-routes.ts'

const { $schema: _schema, $id: _id, ...lagMessage } = lagMessageSchema

const lagRoute = {
  summary: 'The lag of every disk, now; as a WebSocket, live (docs/lag-feed.md).',
  querystring: {
    type: 'object',
    additionalProperties: false,
    properties: { disk: { type: 'string' }, group: { type: 'string' } },
  },
  response: { 200: lagMessage, ...problemResponses({ 400: 'INVALID_REQUEST' }) },
}

export function statusOfFault(fault: Fault): number {
  return fault.code === 'UNKNOWN_DISK' ? 404 : 500
}

/** Everything the applier serves besides health and metrics. */
export async function serveApplier(
  edge: HttpEdge,
  applier: Applier,
  limits: LagFeedLimits = lagFeedLimits,
): Promise<LagFeed> {
  const feed = await serveLagFeed(edge, applier, { schema: lagRoute, limits })
  serveDisks(edge, applier)
  serveRecoveryPoints(edge, applier)
  const page = readFileSync(new URL('page.html', import.meta.url), 'utf8')
  edge.get('/', { schema: { hide: true } }, async (_request, reply) =>
    reply.type('text/html; charset=utf-8').header('cache-control', 'no-cache').send(page),
  )
  return feed
}
