import { readFile } from 'node:fs/promises'
import { MiB } from '@blockferry/runtime'

/** Resident memory of a process in MiB, from the kernel. Throws ENOENT when it is gone. */
export async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]
  return (Number(kilobytes ?? Number.NaN) * 1024) / MiB
}

/** Samples processes until stopped and keeps the highest value of each. */
export class MemorySampler implements Disposable {
  readonly peaksMiB = new Map<string, number>()
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
      const mib = await residentMiB(pid)
      this.peaksMiB.set(name, Math.max(mib, this.peaksMiB.get(name) ?? 0))
    }
  }

  peakMiB(name: string): number {
    if (this.#failure !== null)
      throw new Error(`memory of ${name} could not be sampled`, { cause: this.#failure })
    return this.peaksMiB.get(name) ?? Number.NaN
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
