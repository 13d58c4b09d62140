import type { HttpEdge } from '@blockferry/runtime/service'
import type { ChildView, FlowReport } from '@blockferry/supervision'

const nullable = (type: string): object => ({ anyOf: [{ type }, { type: 'null' }] })

const flowSchema = {
  type: 'object',
  required: ['flow', 'running', 'failed', 'topics', 'trouble'],
  properties: {
    flow: { type: 'string', description: 'SOURCE->TARGET, by site.' },
    running: { type: 'boolean', description: 'The source connector and at least one of its tasks run.' },
    failed: { type: 'array', items: { type: 'string' }, description: 'What FAILED, and why.' },
    topics: {
      type: 'array',
      items: {
        type: 'object',
        required: ['topic', 'recordsBehind'],
        properties: {
          topic: { type: 'string' },
          recordsBehind: {
            ...nullable('integer'),
            description: 'Records not yet recorded as mirrored; null until known.',
          },
        },
      },
    },
    trouble: { ...nullable('string'), description: 'Why the figures are old, when they are.' },
  },
} as const

const processSchema = {
  type: 'object',
  required: ['name', 'pid', 'restarts'],
  properties: { name: { type: 'string' }, pid: nullable('integer'), restarts: { type: 'integer' } },
} as const

/** What the route shows. */
export interface FlowsView {
  readonly process: ChildView
  readonly flows: readonly FlowReport[]
}

/** `GET /v1/flows`: MirrorMaker's process, both flows, and how far each is behind. */
export function serveFlows(edge: HttpEdge, view: FlowsView): void {
  const response = {
    200: {
      type: 'object',
      required: ['process', 'flows'],
      properties: { process: processSchema, flows: { type: 'array', items: flowSchema } },
    },
  }
  edge.get(
    '/v1/flows',
    { schema: { summary: 'Both flows of MirrorMaker: state, and records behind per topic.', response } },
    async () => ({ process: view.process, flows: view.flows }),
  )
}
