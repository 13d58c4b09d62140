import type { Metrics } from '@blockferry/runtime/service'
import type { FlowReport } from './mirror-monitor.ts'

/** A supervised process, as metrics and people see it. */
export interface ChildView {
  readonly name: string
  /** Null while it does not run. */
  readonly pid: number | null
  readonly restarts: number
}

/** Registers which children run and how often they were restarted. */
export function watchChildren(metrics: Metrics, children: () => readonly ChildView[]): void {
  metrics.sampledGauge(
    { name: 'child_up', help: '1 while the process runs.', labels: ['process'] },
    (gauge) => {
      for (const { name, pid } of children()) gauge.set({ process: name }, pid === null ? 0 : 1)
    },
  )
  metrics.sampledGauge(
    { name: 'child_restarts', help: 'Restarts since start.', labels: ['process'] },
    (gauge) => {
      for (const { name, restarts } of children()) gauge.set({ process: name }, restarts)
    },
  )
}

/** Registers the state of each of MirrorMaker's flows and how far it is behind. */
export function watchFlows(metrics: Metrics, flows: () => readonly FlowReport[]): void {
  metrics.sampledGauge(
    { name: 'mirror_flow_running', help: '1 while the flow and its tasks run.', labels: ['flow'] },
    (gauge) => {
      for (const { flow, running } of flows()) gauge.set({ flow }, running ? 1 : 0)
    },
  )
  const help = 'Records of the source topic not yet recorded as mirrored.'
  metrics.sampledGauge({ name: 'mirror_records_behind', help, labels: ['flow', 'topic'] }, (gauge) => {
    for (const { flow, topics } of flows()) {
      for (const { topic, recordsBehind } of topics) {
        if (recordsBehind !== null) gauge.set({ flow, topic }, recordsBehind)
      }
    }
  })
}
