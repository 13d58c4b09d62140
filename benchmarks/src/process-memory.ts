import { readFile } from 'node:fs/promises'

/** Resident memory of a process in bytes, from the kernel. Throws ENOENT when it is gone. */
async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const kibibytes = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]
  return Number(kibibytes ?? Number.NaN) * 1024
}

/** Samples processes until stopped and keeps the highest value of each. */
export class MemorySampler implements Disposable {
  readonly #peaks = new Map<string, number>()
  readonly #timer: NodeJS.Timeout
  #failure: unknown = null

  constructor(pids: () => Readonly<Record<string, number>>, everyMs = 250) {
    this.#timer = setInterval(() => {
      this.#sample(pids()).catch((error: unknown) => {
        this.#failure ??= error
      })
    }, everyMs)
  }

  async #sample(pids: Readonly<Record<string, number>>): Promise<void> {
    for (const [name, pid] of Object.entries(pids)) {
      const bytes = await residentBytes(pid)
      this.#peaks.set(name, Math.max(bytes, this.#peaks.get(name) ?? 0))
    }
  }

  peakBytes(name: string): number {
    if (this.#failure !== null)
      throw new Error(`memory of ${name} could not be sampled`, { cause: this.#failure })
    return this.#peaks.get(name) ?? Number.NaN
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
