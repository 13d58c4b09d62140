import { type HttpEdge, problemResponses } from '@blockferry/runtime/service'
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

/** A cut needs no name, so a request needs no body. */
const bodySchema = {
  type: ['object', 'null'],
  additionalProperties: false,
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 255 },
    requestId: { type: 'string', minLength: 1, maxLength: 255 },
  },
} as const

const problems = problemResponses({
  400: 'INVALID_REQUEST',
  404: 'UNKNOWN_GROUP',
  409: 'CUT_NOT_POSSIBLE: a member is not in step with its stream; nothing was cut.',
  503: 'CUT_LOST: a member’s spool failed before the cut was written.',
})

/** `POST /v1/groups/:id/recovery-points`: a recovery point of a group, or of a disk alone by its id, now. */
export function serveRecoveryPoints(edge: HttpEdge, agent: TapAgent): void {
  edge.post<{ Params: { id: string }; Body: { name?: string; requestId?: string } | null }>(
    '/v1/groups/:id/recovery-points',
    {
      schema: {
        summary: 'Cuts a recovery point of a group, or of a disk alone by its id, at this instant.',
        description: 'Repeating a request with the same requestId answers with the same recovery point.',
        body: bodySchema,
        response: { 201: pointSchema, ...problems },
      },
    },
    async ({ body, params }, reply) => {
      const { name = null, requestId = null } = body ?? {}
      const { wallTimeMs, ...point } = await agent.cutNow(params.id, { name, requestId })
      return reply.code(201).send({ ...point, time: new Date(wallTimeMs).toISOString() })
    },
  )
}
