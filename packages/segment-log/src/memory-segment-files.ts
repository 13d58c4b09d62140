import type { Random } from '@blockferry/runtime'
import { assert } from '@blockferry/runtime'
import type { CrashOptions, MemoryHandle, Step } from '@blockferry/storage'
import { MemoryMedium, noStep } from '@blockferry/storage'
import type { SegmentFile, SegmentFiles } from './segment-files.ts'

interface MemoryFile {
  readonly medium: MemoryMedium
  readonly byteLength: number
}

/** A created or removed name that no directory sync has covered yet. */
interface NameChange {
  readonly serial: number
  readonly name: string
  readonly file: MemoryFile | null
}

export interface MemorySegmentDirectoryOptions {
  /** Space for all segments; a create beyond it fails with ENOSPC. Default: no limit. */
  readonly bytesMax?: number
}

/**
 * The directory of a log in memory, for simulation: it outlives the process that has it open. Names, as
 * bytes, are durable only when synced; unsynced name changes survive a power loss in order, some first ones of them.
 */
export class MemorySegmentDirectory {
  readonly #bytesMax: number
  #files = new Map<string, MemoryFile>()
  #durable = new Map<string, MemoryFile>()
  #changes: NameChange[] = []
  #lastSerial = 0
  /** Its crashes tell the handles of the dead process from those of the living. */
  readonly #process = new MemoryMedium()

  constructor(options: MemorySegmentDirectoryOptions = {}) {
    this.#bytesMax = options.bytesMax ?? Infinity
  }

  /** The process or the host dies; open the directory again afterwards. */
  crash(options: CrashOptions): void {
    this.#process.crash({ loseUnflushed: false })
    for (const file of new Set([...this.#files.values(), ...this.#durable.values()]))
      file.medium.crash(options)
    if (options.loseUnflushed === false) return
    const keptCount = options.loseUnflushed.uint32() % (this.#changes.length + 1)
    this.#persist(this.#lastSerial - this.#changes.length + keptCount)
    this.#files = new Map(this.#durable)
    this.#changes = []
  }

  /** Bytes of all segments. */
  get usedBytes(): number {
    return [...this.#files.values()].reduce((sum, file) => sum + file.byteLength, 0)
  }

  /** The bytes of a file, for tests that damage them. */
  mediumOf(name: string): MemoryMedium {
    const file = this.#files.get(name)
    assert(file !== undefined, 'the file is there')
    return file.medium
  }

  /** Opens the directory for a process. `tear` draws where a write is cut when a kill falls inside it. */
  open(step: Step = noStep, tear?: Random): SegmentFiles {
    const handle = this.#process.open(step)
    return {
      list: async () => {
        await handle.step()
        return [...this.#files.keys()]
      },
      create: async (name, byteLength) => {
        await handle.step()
        return this.#create(name, byteLength, { step, tear })
      },
      open: async (name) => {
        await handle.step()
        const file = this.#files.get(name)
        return file === undefined ? null : openFile(file, { step, tear })
      },
      remove: async (name) => {
        await handle.step()
        if (this.#files.delete(name)) this.#change(name, null)
        await handle.step()
      },
      sync: () => this.#sync(handle),
    }
  }

  #create(name: string, byteLength: number, process: Process): SegmentFile {
    if (this.usedBytes + byteLength > this.#bytesMax)
      throw Object.assign(new Error('ENOSPC: create'), { code: 'ENOSPC' })
    assert(!this.#files.has(name), 'a new file has a new name')
    const file = { medium: new MemoryMedium(), byteLength }
    this.#files.set(name, file)
    this.#change(name, file)
    return openFile(file, process)
  }

  async #sync(handle: MemoryHandle): Promise<void> {
    const covered = this.#lastSerial
    await handle.step()
    this.#persist(covered)
    await handle.step()
  }

  #change(name: string, file: MemoryFile | null): void {
    this.#lastSerial += 1
    this.#changes.push({ serial: this.#lastSerial, name, file })
  }

  #persist(throughSerial: number): void {
    while (this.#changes.length > 0 && this.#changes[0]!.serial <= throughSerial) {
      const { name, file } = this.#changes.shift()!
      if (file === null) this.#durable.delete(name)
      else this.#durable.set(name, file)
    }
  }
}

interface Process {
  readonly step: Step
  readonly tear: Random | undefined
}

function openFile(file: MemoryFile, process: Process): SegmentFile {
  const { medium, byteLength } = file
  const handle = medium.open(process.step)
  return {
    read: async (position, into) => {
      await handle.step()
      const count = Math.max(0, Math.min(into.length, byteLength - position))
      medium.read(position, into.subarray(0, count))
      await handle.step()
      return count
    },
    write: async (position, data) => {
      const whole = Buffer.concat(data)
      assert(position + whole.length <= byteLength, 'segments are preallocated')
      await handle.step()
      const cutAt =
        process.tear === undefined ? whole.length >> 1 : process.tear.uint32() % (whole.length + 1)
      medium.write(position, whole.subarray(0, cutAt))
      await handle.step()
      medium.write(position + cutAt, whole.subarray(cutAt))
      await handle.step()
    },
    zero: async (position, length) => {
      await handle.step()
      medium.zero(position, length)
      await handle.step()
    },
    sync: async () => {
      const ticket = medium.beginFlush()
      await handle.step()
      medium.endFlush(ticket)
      await handle.step()
    },
    close: async () => handle.close(),
  }
}
