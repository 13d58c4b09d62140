import { type HttpEdge, problemResponses } from '@blockferry/runtime/service'
import type { Link, LinkSettings } from './link.ts'

const linkSchema = {
  type: 'object',
  required: ['up'],
  additionalProperties: false,
  properties: {
    up: { type: 'boolean', description: 'False cuts the link: connections stay open and silent.' },
    bytesPerSecond: {
      type: ['integer', 'null'],
      minimum: 1024,
      default: null,
      description: 'Capacity of each direction; null is unlimited.',
    },
    latencyMs: {
      type: 'number',
      minimum: 0,
      maximum: 60_000,
      default: 0,
      description: 'Added to each direction, ms.',
    },
  },
} as const

/** GET and PUT /v1/link. */
export function serveLink(app: HttpEdge, link: Link, onChange: (settings: LinkSettings) => void): void {
  const url = '/v1/link'
  const response = { 200: linkSchema }
  app.route({
    method: 'GET',
    url,
    schema: { summary: 'The link as it is.', response },
    handler: async () => link.settings,
  })
  app.route({
    method: 'PUT',
    url,
    schema: {
      summary: 'Cuts, restores, slows or delays the link.',
      body: linkSchema,
      response: { ...response, ...problemResponses({ 400: 'INVALID_REQUEST' }) },
    },
    handler: async (request) => {
      // Complete: the schema has put the defaults in.
      link.set(request.body as LinkSettings)
      onChange(link.settings)
      return link.settings
    },
  })
}
