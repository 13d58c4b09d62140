import { createHttpEdge, createMetrics, type Logger, type Metrics } from '@blockferry/runtime/service'
import type { FlowReport } from './mirror-monitor.ts'

export interface SupervisorView {
  readonly processes: () => readonly {
    readonly name: string
    readonly pid: number | null
    readonly restarts: number
  }[]
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
  registerGauges(metrics, view)
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

function registerGauges(metrics: Metrics, view: SupervisorView): void {
  metrics.sampledGauge(
    { name: 'child_up', help: '1 while the process runs.', labels: ['process'] },
    (gauge) => {
      for (const { name, pid } of view.processes()) gauge.set({ process: name }, pid === null ? 0 : 1)
    },
  )
  metrics.sampledGauge(
    { name: 'child_restarts', help: 'Restarts since start.', labels: ['process'] },
    (gauge) => {
      for (const { name, restarts } of view.processes()) gauge.set({ process: name }, restarts)
    },
  )
  metrics.sampledGauge(
    { name: 'mirror_flow_running', help: '1 while the flow and its tasks run.', labels: ['flow'] },
    (gauge) => {
      for (const { flow, running } of view.flows()) gauge.set({ flow }, running ? 1 : 0)
    },
  )
  const help = 'Records of the source topic not yet recorded as mirrored.'
  metrics.sampledGauge({ name: 'mirror_records_behind', help, labels: ['flow', 'topic'] }, (gauge) => {
    for (const { flow, topics } of view.flows()) {
      for (const { topic, recordsBehind } of topics) {
        if (recordsBehind !== null) gauge.set({ flow, topic }, recordsBehind)
      }
    }
  })
}
