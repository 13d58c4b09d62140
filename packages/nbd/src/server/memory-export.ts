import type { NbdAllocation, NbdExport, NbdExports, NbdExtent } from './nbd-export.ts'

/** A small disk in memory, for tests: what is written is seen at once, calls are recorded, calls can be held. */
export class MemoryExport implements NbdExport {
  readonly name: string
  readonly readOnly: boolean
  readonly bytes: Buffer
  readonly calls: string[] = []
  /** Set: every call waits for it before it does anything. */
  hold: Promise<void> | undefined
  /** Set: every call fails with it. */
  failure: Error | undefined

  constructor(name: string, sizeBytes: number, options: { readonly readOnly?: boolean } = {}) {
    this.name = name
    this.readOnly = options.readOnly ?? false
    this.bytes = Buffer.alloc(sizeBytes)
  }

  get sizeBytes(): number {
    return this.bytes.length
  }

  async read(byteOffset: number, byteLength: number): Promise<readonly Buffer[]> {
    await this.#called(`read ${byteOffset}+${byteLength}`)
    const middle = byteOffset + Math.floor(byteLength / 2)
    const parts = [[byteOffset, middle] as const, [middle, byteOffset + byteLength] as const]
    return parts.map(([from, to]) => Buffer.from(this.bytes.subarray(from, to)))
  }

  async write(byteOffset: number, data: Buffer, options: { fua: boolean }): Promise<void> {
    await this.#called(`write ${byteOffset}+${data.length}${options.fua ? ' fua' : ''}`)
    data.copy(this.bytes, byteOffset)
  }

  async flush(): Promise<void> {
    await this.#called('flush')
  }

  async trim(extent: NbdExtent, options: { fua: boolean }): Promise<void> {
    await this.#called(`trim ${extent.byteOffset}+${extent.byteLength}${options.fua ? ' fua' : ''}`)
    this.bytes.fill(0, extent.byteOffset, extent.byteOffset + extent.byteLength)
  }

  async writeZeroes(
    extent: NbdExtent,
    options: { fua: boolean; mayUnmap: boolean; fast: boolean },
  ): Promise<void> {
    const flags = Object.entries(options).filter(([, set]) => set)
    const words = flags.map(([flag]) => ` ${flag}`).join('')
    await this.#called(`writeZeroes ${extent.byteOffset}+${extent.byteLength}${words}`)
    this.bytes.fill(0, extent.byteOffset, extent.byteOffset + extent.byteLength)
  }

  async cache(extent: NbdExtent): Promise<void> {
    await this.#called(`cache ${extent.byteOffset}+${extent.byteLength}`)
  }

  /** Even KiB are data, odd ones holes. */
  async blockStatus(extent: NbdExtent, entriesMax: number): Promise<readonly NbdAllocation[]> {
    await this.#called(`blockStatus ${extent.byteOffset}+${extent.byteLength} max ${entriesMax}`)
    const end = extent.byteOffset + extent.byteLength
    const allocations: NbdAllocation[] = []
    for (let at = extent.byteOffset; at < end && allocations.length < entriesMax;) {
      const next = Math.min(end, (Math.floor(at / 1024) + 1) * 1024)
      const kind = Math.floor(at / 1024) % 2 === 0 ? 'data' : 'hole'
      allocations.push({ byteOffset: at, byteLength: next - at, kind })
      at = next
    }
    return allocations
  }

  async #called(call: string): Promise<void> {
    this.calls.push(call)
    if (this.hold !== undefined) await this.hold
    if (this.failure !== undefined) throw this.failure
  }
}

/** A fixed list of exports. */
export function exportsOf(...disks: readonly NbdExport[]): NbdExports {
  return {
    names: () => disks.map((disk) => disk.name),
    find: (name) => disks.find((disk) => disk.name === name),
  }
}
