import { assert, KiB } from '@blockferry/runtime'
import type { CrashOptions, Step } from './memory-medium.ts'
import { MemoryMedium, noStep } from './memory-medium.ts'
import type { SlotFile } from './slot-file.ts'

const pageBytes = 4 * KiB

function pageStartOf(position: number): number {
  return Math.floor(position / pageBytes) * pageBytes
}

/** A slot file's bytes in memory; they outlive the process that opened them. */
export class MemorySlotMedium {
  readonly medium = new MemoryMedium()
  #sizeBytes: number | null = null

  /** What is left after the process (page cache kept) or the host (unsynced sectors drawn) died. */
  crash(options: CrashOptions): void {
    this.medium.crash(options)
  }

  open(step: Step = noStep): SlotFile {
    const handle = this.medium.open(step)
    const close = async (): Promise<void> => handle.close()
    return {
      readAll: async () => {
        await handle.step()
        if (this.#sizeBytes === null) return null
        const content = Buffer.alloc(this.#sizeBytes)
        this.medium.read(0, content)
        return content
      },
      replaceAll: async (content) => {
        await handle.step()
        this.#sizeBytes = content.length
        this.medium.write(0, content)
        this.medium.endFlush(this.medium.beginFlush())
        await handle.step()
      },
      writeAt: async (position, data) => {
        assert(
          this.#sizeBytes !== null && position + data.length <= this.#sizeBytes,
          'slots are preallocated',
        )
        await handle.step()
        // A kill cuts a write between two pages of the page cache, never within one.
        const cut = Math.max(0, pageStartOf(position + data.length / 2) - position)
        this.medium.write(position, data.subarray(0, cut))
        await handle.step()
        this.medium.write(position + cut, data.subarray(cut))
        await handle.step()
      },
      sync: async () => {
        const ticket = this.medium.beginFlush()
        await handle.step()
        this.medium.endFlush(ticket)
        await handle.step()
      },
      close,
      [Symbol.asyncDispose]: close,
    }
  }
}
