import { catalogue as ownCatalogue, fault } from '../error-catalogue.ts'
import { type HttpEdge, problemResponses } from '@blockferry/runtime/service'
import type { TapAgent, UnservedDisk } from '../agent/tap-agent.ts'
import type { DiskStatus } from '../disk/disk-state.ts'

const nullable = (schema: object): object => ({ anyOf: [schema, { type: 'null' }] })
const text = { type: 'string' } as const
const integer = { type: 'integer' } as const

const positionSchema = nullable({
  type: 'object',
  required: ['generation', 'sequence'],
  properties: { generation: integer, generationId: text, sequence: integer, chain: integer },
})

const progressSchema = nullable({
  type: 'object',
  properties: { phase: text, doneBytes: integer, totalBytes: integer, etaMs: nullable(integer) },
})

const diskSchema = {
  type: 'object',
  required: ['diskId', 'groupId', 'state', 'code', 'served'],
  properties: {
    diskId: text,
    groupId: nullable(text),
    served: { type: 'boolean', description: 'False while the disk cannot be opened; code says why.' },
    state: text,
    code: nullable(text),
    nextCommand: nullable(text),
    message: nullable(text),
    sizeBytes: nullable(integer),
    position: positionSchema,
    shipped: positionSchema,
    received: positionSchema,
    consistentAsOf: nullable(text),
    spoolBytes: nullable(integer),
    progress: progressSchema,
  },
} as const

type DiskView = Readonly<Record<string, unknown>>

/** `GET /v1/disks`, `GET /v1/disks/:id`: how each disk stands at its source. */
export function serveDisks(edge: HttpEdge, agent: TapAgent): void {
  const list = {
    type: 'object',
    required: ['disks'],
    properties: { disks: { type: 'array', items: diskSchema } },
  }
  edge.get(
    '/v1/disks',
    { schema: { summary: 'The disks of this agent.', response: { 200: list } } },
    async () => ({ disks: viewsOf(agent) }),
  )
  edge.get<{ Params: { id: string } }>(
    '/v1/disks/:id',
    {
      schema: {
        summary: 'One disk of this agent.',
        response: { 200: diskSchema, ...problemResponses({ 404: 'UNKNOWN_DISK' }) },
      },
    },
    async ({ params }) => {
      const view = viewsOf(agent).find(({ diskId }) => diskId === params.id)
      if (view === undefined) throw fault('UNKNOWN_DISK', `no disk ${params.id}`)
      return view
    },
  )
}

function viewsOf(agent: TapAgent): readonly DiskView[] {
  const views = [...agent.statuses().map(viewOf), ...agent.unserved.map(viewOfUnserved)]
  return views.toSorted((a, b) => String(a['diskId']).localeCompare(String(b['diskId'])))
}

function viewOf(status: DiskStatus): DiskView {
  const { code, consistentAsOfMs } = status
  return {
    ...status,
    served: true,
    nextCommand: nextCommandOf(code),
    message: null,
    consistentAsOf: consistentAsOfMs === null ? null : new Date(consistentAsOfMs).toISOString(),
  }
}

function nextCommandOf(code: string | null): string | null {
  const entry = Object.entries(ownCatalogue).find(([known]) => known === code)
  return entry?.[1].nextCommand ?? null
}

function viewOfUnserved(disk: UnservedDisk): DiskView {
  const unknown = { sizeBytes: null, position: null, shipped: null, received: null, spoolBytes: null }
  return { ...disk, ...unknown, served: false, state: 'FAILED', consistentAsOf: null, progress: null }
}
