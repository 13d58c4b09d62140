import { createHttpEdge, createMetrics, type Logger } from '@blockferry/runtime/service'
import { type ChildView, type FlowReport, watchChildren, watchFlows } from '@blockferry/supervision'

export interface SupervisorView {
  readonly processes: () => readonly ChildView[]
  readonly flows: () => readonly FlowReport[]
}

export interface SupervisorEdge extends AsyncDisposable {
  readonly http: string
}

/** What `start` shows of itself: which processes run, how often they were restarted, how far the mirror is. */
export async function openSupervisorEdge(options: {
  readonly port: number
  readonly logger: Logger
  readonly view: SupervisorView
}): Promise<SupervisorEdge> {
  const { logger, port, view } = options
  const metrics = createMetrics('supervisor')
  watchChildren(metrics, view.processes)
  watchFlows(metrics, view.flows)
  const app = await createHttpEdge({
    service: 'supervisor',
    metrics,
    logger,
    readiness: () => {
      const down = view.processes().filter(({ pid }) => pid === null)
      const reasons = down.map(({ name }) => `${name} is not running`)
      return { ready: reasons.length === 0, reasons }
    },
  })
  app.route({
    method: 'GET',
    url: '/v1/mirror',
    schema: { summary: 'Both flows of MirrorMaker: state, and records behind per topic.' },
    handler: async () => ({ flows: view.flows() }),
  })
  const http = await app.listen({ host: '127.0.0.1', port })
  return {
    http,
    async [Symbol.asyncDispose]() {
      await app.close()
      metrics[Symbol.dispose]()
    },
  }
}
