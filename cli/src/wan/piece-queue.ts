/** A run of bytes on its way over the link. */
export interface Piece {
  readonly data: Buffer
  /** Monotonic ms at which it was read from its sender. */
  readonly enteredAtMs: number
}

/** One direction's bytes in flight: a queue with one reader and one writer, bounded by the writer's waiting. */
export class PieceQueue {
  readonly #pieces: Piece[] = []
  readonly #bytesMax: number
  readonly #signal: AbortSignal
  #queuedBytes = 0
  #ended = false
  #changed = Promise.withResolvers<void>()

  constructor(bytesMax: number, signal: AbortSignal) {
    this.#bytesMax = bytesMax
    this.#signal = signal
    signal.addEventListener('abort', () => this.#wake(), { once: true })
  }

  push(piece: Piece): void {
    this.#pieces.push(piece)
    this.#queuedBytes += piece.data.byteLength
    this.#wake()
  }

  /** No more will come. */
  end(): void {
    this.#ended = true
    this.#wake()
  }

  /** The next piece; null at the end or once the connection is gone. */
  async next(): Promise<Piece | null> {
    while (this.#pieces.length === 0 && !this.#ended && !this.#signal.aborted) await this.#changed.promise
    const piece = this.#signal.aborted ? undefined : this.#pieces.shift()
    if (piece === undefined) return null
    this.#queuedBytes -= piece.data.byteLength
    this.#wake()
    return piece
  }

  async hasRoom(): Promise<void> {
    while (this.#queuedBytes > this.#bytesMax && !this.#signal.aborted) await this.#changed.promise
  }

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}
