import { createWriteStream, existsSync, renameSync, statSync, type WriteStream } from 'node:fs'
import { join } from 'node:path'
import { MiB } from '@blockferry/runtime'

/** A child's log is moved to NAME.log.1 at this size; two files of it are kept. */
export const logFileBytesMax = 16 * MiB
/** Lines waiting for a slow file system; beyond it they are dropped, the child is never held up. */
const pendingBytesMax = 4 * MiB

/** DIR/logs: one bounded file per process with everything it wrote. */
export class LogFiles {
  readonly #directory: string
  readonly #files = new Map<string, { stream: WriteStream; bytes: number }>()

  constructor(directory: string) {
    this.#directory = directory
  }

  append(name: string, line: string): void {
    const file = this.#fileOf(name)
    if (file.stream.writableLength > pendingBytesMax) return
    file.stream.write(`${line}\n`)
    file.bytes += Buffer.byteLength(line) + 1
    if (file.bytes > logFileBytesMax) this.#turnOver(name)
  }

  pathOf(name: string): string {
    return join(this.#directory, `${name}.log`)
  }

  async close(): Promise<void> {
    for (const { stream } of this.#files.values()) await new Promise((resolve) => stream.end(resolve))
    this.#files.clear()
  }

  #fileOf(name: string): { stream: WriteStream; bytes: number } {
    const open = this.#files.get(name)
    if (open !== undefined) return open
    const path = this.pathOf(name)
    const stream = createWriteStream(path, { flags: 'a' })
    // A full volume costs log lines, not the lab.
    stream.on('error', () => undefined)
    const file = { stream, bytes: existsSync(path) ? statSync(path).size : 0 }
    this.#files.set(name, file)
    return file
  }

  #turnOver(name: string): void {
    this.#files.get(name)?.stream.end()
    this.#files.delete(name)
    if (existsSync(this.pathOf(name))) renameSync(this.pathOf(name), `${this.pathOf(name)}.1`)
  }
}
