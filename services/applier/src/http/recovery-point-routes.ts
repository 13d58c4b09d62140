import { type HttpEdge, problemResponses } from '@blockferry/runtime/service'
import type { Applier } from '../applier.ts'
import { isOpenable } from '../disk/disk-state.ts'
import type { RecoveryPoint, RecoveryPointQuery } from '../volume/recovery-point-index.ts'
import type { Volume } from '../volume/volume.ts'

const nullable = (schema: object): object => ({ anyOf: [schema, { type: 'null' }] })
const pageLimitMax = 1_000

interface Query {
  readonly disk?: string
  readonly group?: string
  readonly from?: string
  readonly to?: string
  readonly limit?: number
  readonly cursor?: string
}

const querySchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    disk: { type: 'string', description: 'Points that this disk is a member of.' },
    group: { type: 'string', description: 'Points of this group.' },
    from: { type: 'string', format: 'date-time', description: 'Cut at or after.' },
    to: { type: 'string', format: 'date-time', description: 'Cut at or before.' },
    limit: { type: 'integer', minimum: 1, maximum: pageLimitMax, default: pageLimitMax },
    cursor: { type: 'string', pattern: '^\\d{1,15}$', description: 'nextCursor of the page before.' },
  },
} as const

const pointSchema = {
  type: 'object',
  required: ['cutId', 'groupId', 'name', 'requestId', 'wallTime', 'members', 'positions', 'openable'],
  properties: {
    cutId: { type: 'string' },
    groupId: nullable({ type: 'string' }),
    name: nullable({ type: 'string' }),
    requestId: nullable({ type: 'string' }),
    wallTime: { type: 'string', format: 'date-time' },
    members: { type: 'array', items: { type: 'string' } },
    positions: {
      type: 'array',
      items: {
        type: 'object',
        required: ['diskId', 'generation', 'sequence'],
        properties: {
          diskId: { type: 'string' },
          generation: { type: 'integer' },
          sequence: { type: 'integer' },
        },
      },
    },
    openable: { type: 'boolean' },
  },
} as const

/**
 * R9: every member's base and kept stream still exist, and its image is offered (G5: not during a
 * resync). The base of a full generation is the empty disk, so its stream must be kept from its start.
 */
export function isPointOpenable(point: RecoveryPoint, volume: Volume): boolean {
  return point.members.every(({ diskId, base }) => {
    const disk = volume.disks.get(diskId)
    if (disk === undefined || base === null || !isOpenable(disk)) return false
    const earliest = volume.earliest.get(base.kafkaPartition)
    return base.topicId === volume.topicId && earliest !== undefined && earliest <= base.kafkaOffset
  })
}

function shown(point: RecoveryPoint, volume: Volume): Readonly<Record<string, unknown>> {
  const { cutId, groupId, name, requestId, wallTimeMs, members } = point
  return {
    cutId,
    groupId,
    name,
    requestId,
    wallTime: new Date(wallTimeMs).toISOString(),
    members: members.map((member) => member.diskId),
    positions: members.map(({ diskId, position: { generation, sequence } }) => ({
      diskId,
      generation,
      sequence,
    })),
    openable: isPointOpenable(point, volume),
  }
}

function queryOf(query: Query): RecoveryPointQuery {
  const { disk, group, from, to, limit, cursor } = query
  return {
    ...(disk === undefined ? {} : { diskId: disk }),
    ...(group === undefined ? {} : { groupId: group }),
    ...(from === undefined ? {} : { fromMs: Date.parse(from) }),
    ...(to === undefined ? {} : { toMs: Date.parse(to) }),
    limit: limit ?? pageLimitMax,
    cursor: cursor === undefined ? null : Number(cursor),
  }
}

/** `GET /v1/recovery-points`, newest first. */
export function serveRecoveryPoints(edge: HttpEdge, applier: Applier): void {
  const response = {
    200: {
      type: 'object',
      required: ['recoveryPoints', 'nextCursor'],
      properties: {
        recoveryPoints: { type: 'array', items: pointSchema },
        nextCursor: nullable({ type: 'string' }),
      },
    },
    ...problemResponses({ 400: 'INVALID_REQUEST' }),
  }
  edge.route<{ Querystring: Query }>({
    method: 'GET',
    url: '/v1/recovery-points',
    schema: { summary: 'Recovery points, newest first.', querystring: querySchema, response },
    handler: async (request) => {
      const page = applier.volume.index.query(queryOf(request.query))
      return {
        recoveryPoints: page.recoveryPoints.map((point) => shown(point, applier.volume)),
        nextCursor: page.nextCursor === null ? null : String(page.nextCursor),
      }
    },
  })
}
