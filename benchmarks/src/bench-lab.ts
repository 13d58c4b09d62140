import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { randomFillSync } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { LabClient, waitForDrained, type LabProcessName, type WatchedSample } from '@blockferry/cli'
import { MiB } from '@blockferry/runtime'
import { assertedThroughout, type StateLook } from './asserted-states.ts'
import type { ImageFill } from './figure.ts'

const diskBytes = 512 * MiB

export const imageFill: ImageFill = {
  bytes: diskBytes,
  filledWith: 'filled with random bytes before the run, all of it allocated, the peers’ images likewise',
}

/** Fills an image with random bytes, all of it allocated: no write of a run pays for allocation, and zstd finds nothing. */
export async function createRandomImage(path: string, sizeBytes: number = diskBytes): Promise<void> {
  const piece = Buffer.alloc(4 * MiB)
  function* pieces() {
    for (let written = 0; written < sizeBytes; written += piece.length)
      yield Buffer.from(randomFillSync(piece))
  }
  await pipeline(Readable.from(pieces(), { objectMode: true, highWaterMark: 1 }), createWriteStream(path))
}

interface TapDisk {
  readonly state: string
  readonly position: { readonly generation: number } | null
}

const streaming = { tap: 'STREAMING' } as const

/** The whole lab with one filled disk, drained, and the means to watch and to stop parts of it. */
export class BenchLab implements AsyncDisposable {
  readonly client: LabClient
  readonly directory: string

  private constructor(client: LabClient, directory: string) {
    this.client = client
    this.directory = directory
  }

  static async start(): Promise<BenchLab> {
    const directory = await mkdtemp(join(tmpdir(), 'blockferry-bench-'))
    await mkdir(join(directory, 'source'))
    const source = join(directory, 'source', 'vda.raw')
    await createRandomImage(source)
    const client = await LabClient.start({ directory, disks: [`id=vda,size=${diskBytes},source=${source}`] })
    const lab = new BenchLab(client, directory)
    await lab.drained(300_000)
    return lab
  }

  get socketPath(): string {
    const nbd = this.client.ready.disks[0]?.nbd ?? ''
    return new URL(nbd).searchParams.get('socket') ?? ''
  }

  async sample(): Promise<WatchedSample> {
    const { disks } = await this.client.get<{ disks: readonly WatchedSample[] }>('applier', '/v1/lag')
    const [sample] = disks
    if (sample === undefined) throw new Error('the lag feed knows no disk')
    return sample
  }

  /** The applier has everything the source numbered; a run that ends elsewhere measured something else. */
  async drained(deadlineMs: number): Promise<void> {
    await waitForDrained(this.client, { deadlineMs, everyMs: 100 })
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
    const { disks } = await this.client.get<{ disks: readonly TapDisk[] }>('tap-agent', '/v1/disks')
    const [disk] = disks
    if (disk === undefined) throw new Error('the tap knows no disk')
    return { tap: disk.state, generation: disk.position?.generation ?? 0 }
  }

  /** SIGSTOPs processes for the time of `work`: they hold their memory and sockets and answer nobody. */
  async whileStopped<T>(names: readonly LabProcessName[], work: () => Promise<T>): Promise<T> {
    for (const name of names) process.kill(this.client.pid(name), 'SIGSTOP')
    try {
      return await work()
    } finally {
      for (const name of names.toReversed()) process.kill(this.client.pid(name), 'SIGCONT')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.stop()
    await rm(this.directory, { recursive: true, force: true })
  }
}
