import { type ServiceReader, waitForDrained, type WatchedSample } from '@blockferry/cli'
import { assertedThroughout, type StateLook } from './asserted-states.ts'

interface TapDisk {
  readonly state: string
  readonly position: { readonly generation: number } | null
}

const streaming = { tap: 'STREAMING' } as const

/** Both sites with one disk, whatever runs them, and the means to assert their states while they are measured. */
export class WatchedLab {
  readonly reader: ServiceReader

  constructor(reader: ServiceReader) {
    this.reader = reader
  }

  async sample(): Promise<WatchedSample> {
    const { disks } = await this.reader.get<{ disks: readonly WatchedSample[] }>('applier', '/v1/lag')
    const [sample] = disks
    if (sample === undefined) throw new Error('the lag feed knows no disk')
    return sample
  }

  /** The applier has everything the source numbered; a run that ends elsewhere measured something else. */
  async drained(deadlineMs: number): Promise<void> {
    await waitForDrained(this.reader, { deadlineMs, everyMs: 100 })
  }

  /** The tap is STREAMING over the whole of `work`, and no resync began. */
  whileStreaming<T>(work: () => Promise<T>): Promise<T> {
    return assertedThroughout({ look: () => this.#tapLook(), expected: streaming }, work)
  }

  /** The same, and the target is CONSISTENT over the whole of `work`; with `heard`, it hears the source in time, too. */
  whileConsistent<T>(
    work: () => Promise<T>,
    options: { readonly heard: boolean } = { heard: false },
  ): Promise<T> {
    const look = async (): Promise<StateLook> => {
      const { state, received, source } = await this.sample()
      const target = { target: state, receivedGeneration: received?.generation ?? 0 }
      const heard: StateLook = options.heard ? { source: source?.state ?? 'unknown' } : {}
      return { ...(await this.#tapLook()), ...target, ...heard }
    }
    const heard = options.heard ? { source: 'STREAMING' } : {}
    return assertedThroughout({ look, expected: { ...streaming, target: 'CONSISTENT', ...heard } }, work)
  }

  /** By the tap's own word: a target that is stopped, or behind, cannot say it. */
  async #tapLook(): Promise<StateLook> {
    const { disks } = await this.reader.get<{ disks: readonly TapDisk[] }>('tap-agent', '/v1/disks')
    const [disk] = disks
    if (disk === undefined) throw new Error('the tap knows no disk')
    return { tap: disk.state, generation: disk.position?.generation ?? 0 }
  }
}
