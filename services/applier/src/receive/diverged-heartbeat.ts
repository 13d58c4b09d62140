import { isSamePosition, type Position, type Verdict } from '@blockferry/disk-stream'

/**
 * S9's first row for a heartbeat (A2: heartbeats carry positions, the applier compares): the source stands exactly
 * where the target does and has another chain, so it has another history. Null when nothing can be said.
 */
export function divergenceOf(
  received: Position | null,
  announced: Position,
): Extract<Verdict, { kind: 'halt' }> | null {
  if (received === null || received.generationId !== announced.generationId) return null
  if (received.sequence !== announced.sequence || isSamePosition(received, announced)) return null
  const why = `the source's heartbeat has another chain at sequence ${announced.sequence}`
  return { kind: 'halt', code: 'DIVERGED', wanted: { kind: 'digestResync' }, why }
}
