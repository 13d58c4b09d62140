import type { Fault } from '@blockferry/runtime'
import type { Readiness } from '@blockferry/runtime/service'
import type { TapAgent } from '../agent/tap-agent.ts'

/** Ready when every configured disk serves its guest; whether Kafka answers is a matter of lag, not of service. */
export function readinessOf(agent: TapAgent): Readiness {
  const unserved = agent.unserved.map(({ code, diskId, message, nextCommand }) => {
    const next = nextCommand === '' ? '' : `; next: ${nextCommand}`
    return `disk ${diskId}: ${code}: ${message}${next}`
  })
  const failed = agent
    .statuses()
    .filter(({ state }) => state === 'FAILED')
    .map(({ code, diskId }) => `disk ${diskId}: FAILED: ${code ?? ''}`)
  const reasons = [...unserved, ...failed]
  return { ready: reasons.length === 0, reasons }
}

const statuses: Readonly<Record<string, number>> = {
  UNKNOWN_DISK: 404,
  UNKNOWN_GROUP: 404,
  CUT_NOT_POSSIBLE: 409,
  CUT_LOST: 503,
}

/** HTTP status of a fault. */
export function statusOf(fault: Fault): number {
  return statuses[fault.code] ?? 500
}
