/*
 * What MirrorMaker keeps about one flow in the target cluster's internal topics, read as JSON:
 *
 *   mm2-status.SOURCE.internal   status-connector-NAME → {"state":"RUNNING",…}
 *                                status-task-NAME-0    → {"state":"FAILED","trace":"…",…}
 *   mm2-offsets.SOURCE.internal  ["MirrorSourceConnector",{"cluster","topic","partition"}] → {"offset":41}
 */
import type { TailEntry } from './topic-tail.ts'

const source = 'MirrorSourceConnector'

export interface FlowState {
  /** The source connector and at least one of its tasks run. */
  readonly running: boolean
  /** Connectors and tasks that FAILED, each with the first line of why. */
  readonly failed: readonly string[]
}

type Entries = ReadonlyMap<string, TailEntry>

/** State of a flow by records since `sinceMs`; what an earlier JVM wrote says nothing about this one. */
export function flowState(status: Entries, sinceMs: number): FlowState {
  const failed: string[] = []
  let connectorRuns = false
  let taskRuns = false
  for (const [key, { value, timestampMs }] of status) {
    const entry = timestampMs < sinceMs ? null : parseObject(value)
    if (entry === null) continue
    if (entry['state'] === 'FAILED')
      failed.push(`${key.replace(/^status-/, '')}: ${firstLine(entry['trace'])}`)
    if (entry['state'] !== 'RUNNING') continue
    if (key === `status-connector-${source}`) connectorRuns = true
    if (key.startsWith(`status-task-${source}-`)) taskRuns = true
  }
  return { running: connectorRuns && taskRuns && failed.length === 0, failed }
}

/** Offset after the last mirrored record, per source topic and partition ("updates/0"). */
export function mirroredOffsets(offsets: Entries): ReadonlyMap<string, bigint> {
  const mirrored = new Map<string, bigint>()
  for (const [key, { value }] of offsets) {
    const place = parsePlace(key)
    const offset = parseObject(value)?.['offset']
    if (place !== null && typeof offset === 'number') mirrored.set(place, BigInt(offset) + 1n)
  }
  return mirrored
}

function parsePlace(key: string): string | null {
  const parts = parseJson(key)
  if (!Array.isArray(parts) || parts[0] !== source) return null
  const place: unknown = parts[1]
  if (typeof place !== 'object' || place === null) return null
  if (!('topic' in place) || !('partition' in place)) return null
  return typeof place.topic === 'string' && typeof place.partition === 'number'
    ? `${place.topic}/${place.partition}`
    : null
}

function firstLine(trace: unknown): string {
  return typeof trace === 'string' ? (trace.split('\n')[0] ?? '') : 'no reason given'
}

function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  const value = parseJson(text)
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null
}

/** Tombstones and foreign values are null. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
