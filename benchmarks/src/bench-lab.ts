import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { randomFillSync } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { LabClient, type LabProcessName } from '@blockferry/cli'
import { MiB } from '@blockferry/runtime'
import type { ImageFill } from './figure.ts'
import { WatchedLab } from './watched-lab.ts'

export const diskBytes = 512 * MiB

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

/** The whole lab as bare processes with one filled disk, drained, and the means to stop parts of it. */
export class BenchLab extends WatchedLab implements AsyncDisposable {
  readonly client: LabClient
  readonly directory: string

  private constructor(client: LabClient, directory: string) {
    super(client)
    this.client = client
    this.directory = directory
  }

  /** `extraArguments`: of `blockferry start`. */
  static async start(extraArguments: readonly string[] = []): Promise<BenchLab> {
    const directory = await mkdtemp(join(tmpdir(), 'blockferry-bench-'))
    await mkdir(join(directory, 'source'))
    const source = join(directory, 'source', 'vda.raw')
    await createRandomImage(source)
    const disks = [`id=vda,size=${diskBytes},source=${source}`]
    const client = await LabClient.start({ directory, disks, extraArguments })
    const lab = new BenchLab(client, directory)
    await lab.drained(300_000)
    return lab
  }

  /** Of the disk, over the unix socket. */
  get uri(): string {
    return this.client.ready.disks[0]?.nbd ?? ''
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
