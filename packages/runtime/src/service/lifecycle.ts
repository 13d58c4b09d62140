/*
 * A service's life:
 *
 *   start ──► running ──SIGTERM, SIGINT, or standard input closed──► stopping ──► exit 0
 *     │          │                                                     │ over 10 s, or a second signal
 *     ├─ 78 ◄─ configuration fault                                     └─► exit 1
 *     └──────────┴─ anything thrown, a broken invariant too ─► one structured line, exit 1
 *
 * The process always ends through here, so its exit status always says why.
 */
import { aborted } from '../aborted.ts'
import { catalogue } from '../error-catalogue.ts'
import { faultsOf } from '../errors.ts'
import { ConfigFault, HelpRequested } from './config-fault.ts'
import { createLogger, type Logger } from './logger.ts'

/** Longest orderly stop. */
export const stopMsMax = 10_000

export const exitStatus = { orderly: 0, failed: 1, config: 78 } as const

/** A started service. `failed`, when given, rejects if the service cannot go on by itself. */
export interface RunningService extends AsyncDisposable {
  readonly failed?: Promise<never>
}

export interface ServiceContext {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  /** Level `info` until the service sets `logger.level` from its configuration. */
  readonly logger: Logger
  /** Aborts when a stop was asked for, also while starting. */
  readonly signal: AbortSignal
}

export interface ServiceOptions {
  readonly service: string
  readonly start: (context: ServiceContext) => Promise<RunningService>
}

/**
 * Runs one service until it is asked to stop or fails; sets the exit status and ends the process.
 * With BLOCKFERRY_EXIT_WITH_STDIN=1 a closed standard input counts as SIGTERM, so that a service does
 * not outlive a parent that was killed.
 */
export async function runService(options: ServiceOptions): Promise<void> {
  const logger = createLogger({ service: options.service })
  const stop = new AbortController()
  crashOnUncaught(logger)
  stopOnSignals(logger, stop)
  if (process.env['BLOCKFERRY_EXIT_WITH_STDIN'] === '1') stopOnClosedInput(logger, stop)
  limitStop(logger, stop.signal)
  try {
    const context = { argv: process.argv.slice(2), env: process.env, logger, signal: stop.signal }
    const running = await options.start(context)
    await Promise.race([aborted(stop.signal), ...(running.failed === undefined ? [] : [running.failed])])
    await running[Symbol.asyncDispose]()
    logger.info({ event: 'stopped' }, 'stopped')
    exit(logger, exitStatus.orderly)
  } catch (error) {
    const startGivenUp = stop.signal.aborted && error instanceof Error && error.name === 'AbortError'
    exit(logger, startGivenUp ? exitStatus.orderly : reportFailure(error, logger))
  }
}

/** Says why the process ends and with which status. */
function reportFailure(error: unknown, logger: Logger): number {
  if (error instanceof HelpRequested) {
    process.stdout.write(error.text)
    return exitStatus.orderly
  }
  if (error instanceof ConfigFault) {
    // Without its stack: what is wrong is in the settings, and each is said once.
    const { code, faults, message, nextCommand } = error
    logger.fatal({ event: 'config-invalid', code, nextCommand, faults }, message)
    return exitStatus.config
  }
  logger.fatal({ event: 'failed', err: error }, error instanceof Error ? error.message : 'failed')
  return exitStatus.failed
}

function crashOnUncaught(logger: Logger): void {
  const crash = (error: unknown) => {
    logger.fatal({ event: 'crashed', err: error }, error instanceof Error ? error.message : 'crashed')
    exit(logger, exitStatus.failed)
  }
  process.on('uncaughtException', crash)
  process.on('unhandledRejection', crash)
}

function stopOnSignals(logger: Logger, stop: AbortController): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) {
        logger.warn({ event: 'stop-forced', signal }, 'second signal: ending without an orderly stop')
        exit(logger, exitStatus.failed)
      }
      logger.info({ event: 'stopping', signal }, `stopping on ${signal}`)
      stop.abort()
    })
  }
}

function stopOnClosedInput(logger: Logger, stop: AbortController): void {
  const parentGone = () => {
    if (stop.signal.aborted) return
    logger.warn({ event: 'stopping', signal: 'stdin' }, 'standard input closed: the parent is gone, stopping')
    stop.abort()
  }
  process.stdin.on('end', parentGone)
  process.stdin.on('error', parentGone)
  process.stdin.resume()
}

/** Also bounds a start that does not heed the signal. */
function limitStop(logger: Logger, signal: AbortSignal): void {
  signal.addEventListener('abort', () => {
    setTimeout(() => {
      const timedOut = faultsOf(catalogue)('STOP_TIMED_OUT', `not stopped after ${stopMsMax} ms`)
      exit(logger, reportFailure(timedOut, logger))
    }, stopMsMax)
  })
}

function exit(logger: Logger, status: number): never {
  logger.flush()
  process.exit(status)
}
