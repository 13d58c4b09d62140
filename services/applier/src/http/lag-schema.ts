import { applierStates } from '@blockferry/disk-stream'

/** JSON Schema of the lag feed; docs/lag-feed.schema.json is this, and a test keeps it so. */

const nullable = (schema: object): object => ({ anyOf: [schema, { type: 'null' }] })
const integer = { type: 'integer', minimum: 0 }
const ms = { type: 'number', minimum: 0 }
const time = { type: 'string', format: 'date-time' }

const position = {
  type: 'object',
  required: ['generation', 'sequence'],
  additionalProperties: false,
  properties: { generation: integer, sequence: integer },
}

const stageNames = ['spooledMs', 'aggregatorMs', 'mirrorMs', 'receivedMs', 'appliedMs'] as const

const properties = {
  diskId: { type: 'string' },
  groupId: nullable({ type: 'string' }),
  state: { type: 'string', enum: applierStates },
  code: nullable({ type: 'string' }),
  nextCommand: nullable({ type: 'string' }),
  recoveryPointAgeMs: nullable(ms),
  replicationDelayMs: {
    type: 'object',
    required: ['p50', 'p99', 'windowS'],
    additionalProperties: false,
    properties: { p50: nullable(ms), p99: nullable(ms), windowS: integer },
  },
  pendingWrites: integer,
  pendingBytes: integer,
  stages: {
    type: 'object',
    required: stageNames,
    additionalProperties: false,
    properties: Object.fromEntries(stageNames.map((name) => [name, ms])),
  },
  known: nullable(position),
  received: nullable(position),
  applied: nullable(position),
  consistentAsOf: nullable(time),
  clockSkewMs: nullable({
    type: 'object',
    required: ['estimate', 'error'],
    additionalProperties: false,
    properties: { estimate: { type: 'number' }, error: ms },
  }),
  sampledAt: time,
  etaMs: nullable(ms),
  source: nullable({
    type: 'object',
    required: ['state', 'seenAt'],
    additionalProperties: false,
    properties: { state: { type: 'string' }, seenAt: time },
  }),
  groupState: nullable({ type: 'string', enum: applierStates }),
  progress: nullable({
    type: 'object',
    required: ['phase', 'doneBytes', 'totalBytes', 'etaMs'],
    additionalProperties: false,
    properties: {
      phase: { type: 'string' },
      doneBytes: integer,
      totalBytes: integer,
      etaMs: nullable(ms),
    },
  }),
}

export const lagSampleSchema = {
  type: 'object',
  required: Object.keys(properties),
  additionalProperties: false,
  properties,
} as const

export const lagMessageSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: 'urn:blockferry:lag-feed:1',
  title: 'A message of the lag feed',
  type: 'object',
  required: ['type', 'sampledAt', 'disks'],
  additionalProperties: false,
  properties: {
    type: { type: 'string', enum: ['snapshot', 'update'] },
    sampledAt: time,
    disks: { type: 'array', items: lagSampleSchema },
  },
} as const
