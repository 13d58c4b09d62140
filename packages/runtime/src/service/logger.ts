import { type DestinationStream, type Logger, pino } from 'pino'
import { MiB } from '../units.ts'
import { Fault } from '../errors.ts'

export type { Logger } from 'pino'

/** A log line waits here for a slow reader; beyond it lines are dropped, the service never waits for its log. */
export const logBufferBytesMax = 1 * MiB

export interface LoggerOptions {
  readonly service: string
  readonly level?: string
  /** For tests; the default is standard output. */
  readonly destination?: DestinationStream
}

/**
 * Structured JSON, one line each: `time`, `level` as a word, `service`, `pid`, `event` where there is one,
 * `msg`. Errors under `err` carry code, nextCommand, details and their causes.
 */
export function createLogger(options: LoggerOptions): Logger {
  const destination =
    options.destination ?? pino.destination({ fd: 1, sync: false, maxLength: logBufferBytesMax })
  return pino(
    {
      level: options.level ?? 'info',
      base: { service: options.service, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: serializeError },
    },
    destination,
  )
}

/** An error as log fields; causes are followed to a depth of 5. */
export function serializeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error
  const fault = error instanceof Fault ? { nextCommand: error.nextCommand, details: error.details } : {}
  const code = 'code' in error ? { code: error.code } : {}
  const cause =
    error.cause === undefined || depth >= 5 ? {} : { cause: serializeError(error.cause, depth + 1) }
  return { type: error.name, message: error.message, ...code, ...fault, stack: error.stack, ...cause }
}
