import { readJvmLine } from '@blockferry/supervision'

/** What people see of a child's output; null for lines that only the log file gets. */
export function humanLine(name: string, line: string, nowMs: number): string | null {
  const structured = parseLine(line)
  return structured === null ? plainLine(name, line, nowMs) : structuredLine(name, structured)
}

const hidden = new Set(['level', 'time', 'service', 'pid', 'msg', 'hostname', 'err', 'faults', 'event'])

function structuredLine(name: string, entry: Readonly<Record<string, unknown>>): string {
  const at = typeof entry['time'] === 'string' ? new Date(entry['time']) : new Date()
  const level = typeof entry['level'] === 'string' ? entry['level'] : 'info'
  const said = [entry['msg'], entry['event']].find((text) => typeof text === 'string') ?? ''
  const facts = Object.entries(entry)
    .filter(([key]) => !hidden.has(key))
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  const error = errorText(entry['err'])
  return columns({ at, name, level, text: [said, ...facts, ...error].join('  ') })
}

function errorText(error: unknown): readonly string[] {
  if (typeof error !== 'object' || error === null) return []
  const { code, message, nextCommand } = error as Record<string, unknown>
  const parts = [code, message].filter((part) => typeof part === 'string' && part !== '')
  const next = typeof nextCommand === 'string' && nextCommand !== '' ? [`next: ${nextCommand}`] : []
  return [`[${parts.join('] ')}`, ...next]
}

/** Of a JVM's output only what needs attention is for people; the log file has the rest. */
function plainLine(name: string, line: string, nowMs: number): string | null {
  const { isHarmless, level, text } = readJvmLine(line)
  if (isHarmless || level === 'info') return null
  return columns({ at: new Date(nowMs), name, level, text })
}

function columns(entry: {
  readonly at: Date
  readonly name: string
  readonly level: string
  readonly text: string
}): string {
  const time = Number.isNaN(entry.at.getTime()) ? '' : entry.at.toISOString().slice(11, 23)
  return `${time} ${entry.name.padEnd(10)} ${entry.level.padEnd(5)} ${entry.text}`
}

function parseLine(line: string): Readonly<Record<string, unknown>> | null {
  if (!line.startsWith('{')) return null
  try {
    const entry: unknown = JSON.parse(line)
    return typeof entry === 'object' && entry !== null ? (entry as Record<string, unknown>) : null
  } catch {
    return null
  }
}
