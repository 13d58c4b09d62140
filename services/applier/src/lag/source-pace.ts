import type { Position } from '@blockferry/disk-stream'

/** How far back, in source time, the pace looks: events older than this count a third. */
const memoryMs = 10_000

/** How fast a source numbers events, told by its heartbeats: for an estimate of what they have not told yet. */
export class SourcePace {
  #last: { readonly generationId: string; readonly sequence: number; readonly sourceTimeMs: number } | null =
    null
  #eventsPerMs = 0

  get eventsPerMs(): number {
    return this.#eventsPerMs
  }

  note(sourceTimeMs: number, position: Position | null): void {
    if (position === null) return
    const last = this.#last
    const { generationId, sequence } = position
    this.#last = { generationId, sequence, sourceTimeMs }
    if (last === null || last.generationId !== generationId) return
    const spanMs = sourceTimeMs - last.sourceTimeMs
    const events = sequence - last.sequence
    if (spanMs <= 0 || events < 0) return
    const kept = Math.exp(-spanMs / memoryMs)
    this.#eventsPerMs = this.#eventsPerMs * kept + (events / spanMs) * (1 - kept)
  }
}
