/**
 * Received bytes waiting for a whole message: of a handshake, or of the replies a client reads. (The
 * server's transmission phase parses in place, see request-parser.ts.) Chunks are joined only when a
 * message spans them and is complete, so the work is linear. The caller bounds what it waits for.
 */
export class ByteQueue {
  #chunks: Buffer[] = []
  #byteLength = 0

  get byteLength(): number {
    return this.#byteLength
  }

  append(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#byteLength += chunk.length
  }

  /** The first bytes, or undefined while fewer are there. A view, unless they span chunks. */
  peek(byteLength: number): Buffer | undefined {
    if (this.#byteLength < byteLength) return undefined
    const first = this.#chunks[0] ?? Buffer.alloc(0)
    if (first.length >= byteLength) return first.subarray(0, byteLength)
    const joined = Buffer.concat(this.#chunks, this.#byteLength)
    this.#chunks = [joined]
    return joined.subarray(0, byteLength)
  }

  /** Removes and returns the first bytes, or undefined while fewer are there. */
  take(byteLength: number): Buffer | undefined {
    const taken = this.peek(byteLength)
    if (taken !== undefined) this.discard(byteLength)
    return taken
  }

  /** Removes up to `byteLength` bytes and says how many. */
  discard(byteLength: number): number {
    let left = Math.min(byteLength, this.#byteLength)
    const discarded = left
    this.#byteLength -= discarded
    while (left > 0) {
      const first = this.#chunks[0] as Buffer
      if (first.length > left) {
        this.#chunks[0] = first.subarray(left)
        break
      }
      left -= first.length
      this.#chunks.shift()
    }
    return discarded
  }

  takeAll(): Buffer {
    return this.take(this.#byteLength) ?? Buffer.alloc(0)
  }
}
