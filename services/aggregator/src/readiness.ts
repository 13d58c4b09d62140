import type { AggregatorStatus } from './aggregator.ts'

/** Whether all that is assigned flows; why not, when not. A member without partitions is ready. */
export function readinessOf(status: AggregatorStatus): {
  readonly ready: boolean
  readonly reasons: readonly string[]
} {
  const own = status.code === null ? [] : [`not working: ${status.why ?? status.code}`]
  const partitions = status.partitions.flatMap(({ kafkaPartition, state, code, nextCommand }) => {
    if (state === 'RUNNING') return []
    const why = code === null ? '' : ` (${code})`
    const next = nextCommand === null ? '' : `; next: ${nextCommand}`
    return [`partition ${kafkaPartition} is ${state}${why}${next}`]
  })
  const reasons = [...own, ...partitions]
  return { ready: reasons.length === 0, reasons }
}
