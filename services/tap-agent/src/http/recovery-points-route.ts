import type { HttpEdge } from '@blockferry/runtime/service'
import type { TapAgent } from '../agent/tap-agent.ts'

const nullable = (schema: object): object => ({ anyOf: [schema, { type: 'null' }] })
const text = { type: 'string' } as const

const pointSchema = {
  type: 'object',
  required: ['cutId', 'groupId', 'members', 'name', 'time'],
  properties: {
    cutId: text,
    groupId: nullable(text),
    members: { type: 'array', items: text },
    name: nullable(text),
    requestId: nullable(text),
    time: text,
  },
} as const

const bodySchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 255 },
    requestId: { type: 'string', minLength: 1, maxLength: 255 },
  },
} as const

/** `POST /v1/groups/:id/recovery-points`: a recovery point of a group, or of a disk alone by its id, now. */
export function serveRecoveryPoints(edge: HttpEdge, agent: TapAgent): void {
  edge.post<{ Params: { id: string }; Body: { name?: string; requestId?: string } | null }>(
    '/v1/groups/:id/recovery-points',
    {
      schema: {
        summary: 'Cuts a recovery point of a group, or of a disk alone by its id, at this instant.',
        description: 'Repeating a request with the same requestId answers with the same recovery point.',
        body: bodySchema,
        response: { 201: pointSchema },
      },
    },
    async ({ body, params }, reply) => {
      const { name = null, requestId = null } = body ?? {}
      const { wallTimeMs, ...point } = await agent.cutNow(params.id, { name, requestId })
      return reply.code(201).send({ ...point, time: new Date(wallTimeMs).toISOString() })
    },
  )
}
