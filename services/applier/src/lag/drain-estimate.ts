/** How far back the trend looks. */
const trendMs = 10_000

interface Point {
  readonly atMs: number
  readonly backlog: number
}

/** Watches a backlog shrink and says when it will be gone. */
export class DrainEstimate {
  #points: Point[] = []

  /** `atMs` is monotonic. */
  note(point: Point): void {
    const last = this.#points.at(-1)
    if (last !== undefined && point.atMs - last.atMs < 250) return
    this.#points.push(point)
    this.#points = this.#points.filter((known) => point.atMs - known.atMs <= trendMs)
  }

  /** Null while there is no backlog, or it does not shrink, or too little is known. */
  etaMs(): number | null {
    const first = this.#points[0]
    const last = this.#points.at(-1)
    if (first === undefined || last === undefined || last.backlog === 0) return null
    const spanMs = last.atMs - first.atMs
    const drained = first.backlog - last.backlog
    if (spanMs < 1_000 || drained <= 0) return null
    return Math.round((last.backlog * spanMs) / drained)
  }
}
