/** A line of a JVM's standard output, as deploy/kafka's log4j2 files lay it out. */
export interface JvmLine {
  readonly level: 'info' | 'warn' | 'error' | 'fatal'
  readonly text: string
  /** Kafka warns of it at every start or stop; it means nothing. */
  readonly isHarmless: boolean
}

const harmless = [
  /Performing controller activation/,
  /Attempting to close NetworkClient that has already been closed/,
  /Close timed out with 1 pending requests to coordinator/,
  /Catching up to assignment's config offset/,
]
/** What the JVM itself says, outside any logger, when it is about to be of no use. */
const loud = /OutOfMemoryError|Exception in thread|does not start|error occurred/i

/** Reads "2026-11-23 21:40:00,123 WARN Class: message"; anything else is a line of its own. */
export function readJvmLine(line: string): JvmLine {
  const match = /^\S+[ T]\S+ (?:\[\S+\] )?(INFO|WARN|ERROR|FATAL) (.*)$/.exec(line)
  const isHarmless = harmless.some((pattern) => pattern.test(line))
  if (match === null) return { level: loud.test(line) ? 'error' : 'info', text: line, isHarmless }
  return { level: levels[match[1] ?? ''] ?? 'info', text: match[2] ?? '', isHarmless }
}

const levels: Readonly<Record<string, JvmLine['level']>> = {
  INFO: 'info',
  WARN: 'warn',
  ERROR: 'error',
  FATAL: 'fatal',
}
