import type { Clock } from '../ports.ts'
import { explanationOf, Fault } from '../errors.ts'
import { createHttpEdge } from './http-edge.ts'
import type { Logger } from './logger.ts'
import { createMetrics } from './metrics.ts'
import type { Address } from './option-table.ts'

/** How often it is looked whether the repair is done. */
export const repairLookMs = 2_000
/** How often the same reason is said again. */
export const repairSayMs = 60_000

export interface RepairWait {
  readonly service: string
  readonly httpListen: Address
  readonly clock: Clock
  readonly logger: Logger
  readonly signal: AbortSignal
  /** Throws a Fault while the service cannot start. */
  readonly look: () => Promise<void>
}

/**
 * Waits until `look` finds nothing wrong. Meanwhile the service is live and not ready, and says why: a process
 * that ended instead would be started again and again, its reason lost among the starts.
 * @throws what `look` throws besides a Fault; AbortError when a stop is asked for
 */
export async function waitForRepair(wait: RepairWait): Promise<void> {
  let reason = await lookOnce(wait)
  if (reason === null) return
  const { clock, httpListen, logger, service, signal } = wait
  using metrics = createMetrics(service)
  const readiness = () => ({ ready: false, reasons: reason === null ? [] : [explanationOf(reason)] })
  const edge = await createHttpEdge({ service, metrics, logger, readiness })
  const http = await edge.listen(httpListen)
  logger.info({ event: 'waiting-for-repair', http }, `not started yet; ${http}/health/ready says why`)
  let said = { text: '', atMs: 0 }
  try {
    while (reason !== null) {
      if (said.text !== explanationOf(reason) || clock.monotonicMs() - said.atMs >= repairSayMs) {
        said = { text: explanationOf(reason), atMs: clock.monotonicMs() }
        logger.error({ event: 'cannot-start', code: reason.code, err: reason }, explanationOf(reason))
      }
      await clock.sleep(repairLookMs, signal)
      signal.throwIfAborted()
      reason = await lookOnce(wait)
    }
  } finally {
    await edge.close()
  }
  logger.info({ event: 'repaired' }, 'what was wrong is repaired; starting')
}

async function lookOnce(wait: RepairWait): Promise<Fault | null> {
  try {
    await wait.look()
    return null
  } catch (error) {
    if (error instanceof Fault) return error
    throw error
  }
}
