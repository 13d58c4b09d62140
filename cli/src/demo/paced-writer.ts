import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { KiB, MiB } from '@blockferry/runtime'

/** The part of an NBD client the writer needs. */
export interface WritableDisk {
  readonly sizeBytes: number
  write(byteOffset: number, data: Buffer): Promise<unknown>
}

export interface WriterOptions {
  readonly bytesPerSecond: number
  readonly requestBytes: number
  /** Most requests under way at once. */
  readonly depth: number
}

const tickMs = 20
/** A database-like pattern: three of four writes hit a hot region, so folding has something to fold. */
const hotBytes = 32 * MiB

/** Writes random 4 KiB-style requests at a steady rate until stopped; counts what was acknowledged. */
export class PacedWriter {
  readonly #disk: WritableDisk
  readonly #options: WriterOptions
  readonly #latenciesMs: number[] = []
  /** Drawn once: random bytes per request would measure the generator. */
  readonly #noise = randomBytes(1 * MiB)
  #stopped = false
  #outstanding = 0
  #failure: unknown = null
  #running: Promise<void> | null = null
  writes = 0
  bytes = 0

  constructor(disk: WritableDisk, options: Partial<WriterOptions> = {}) {
    this.#disk = disk
    this.#options = { bytesPerSecond: 8 * MiB, requestBytes: 4 * KiB, depth: 16, ...options }
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Stops, waits for the answers under way and rethrows what went wrong on the way. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
    while (this.#outstanding > 0) await pause(tickMs)
    if (this.#failure !== null) throw this.#failure
  }

  latencyMs(quantile: number): number {
    const sorted = this.#latenciesMs.toSorted((a, b) => a - b)
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))] ?? 0
  }

  async #run(): Promise<void> {
    let credit = 0
    let lastMs = performance.now()
    while (!this.#stopped && this.#failure === null) {
      await pause(tickMs)
      const nowMs = performance.now()
      credit = Math.min(
        credit + ((nowMs - lastMs) / 1000) * this.#options.bytesPerSecond,
        this.#options.bytesPerSecond,
      )
      lastMs = nowMs
      while (credit >= this.#options.requestBytes && this.#outstanding < this.#options.depth) {
        credit -= this.#options.requestBytes
        void this.#writeOne()
      }
    }
  }

  async #writeOne(): Promise<void> {
    const { requestBytes } = this.#options
    this.#outstanding += 1
    const sentMs = performance.now()
    try {
      await this.#disk.write(this.#pickByteOffset(), this.#pickData(requestBytes))
      this.writes += 1
      this.bytes += requestBytes
      if (this.#latenciesMs.length < 200_000) this.#latenciesMs.push(performance.now() - sentMs)
    } catch (error) {
      this.#failure ??= error
    } finally {
      this.#outstanding -= 1
    }
  }

  #pickByteOffset(): number {
    const hot = Math.random() < 0.75
    const places = Math.floor(
      (hot ? Math.min(hotBytes, this.#disk.sizeBytes) : this.#disk.sizeBytes) / this.#options.requestBytes,
    )
    return Math.floor(Math.random() * places) * this.#options.requestBytes
  }

  /** Half noise, half text, as real blocks are neither random nor empty. */
  #pickData(byteLength: number): Buffer {
    const data = Buffer.alloc(byteLength, `row ${this.writes} `)
    const from = Math.floor(Math.random() * (this.#noise.length - byteLength))
    this.#noise.copy(data, 0, from, from + byteLength / 2)
    return data
  }
}
