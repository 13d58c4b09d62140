import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { randomFillSync } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { LabClient, waitForDrained, type LabProcessName, type WatchedSample } from '@blockferry/cli'
import { MiB } from '@blockferry/runtime'

export const diskBytes = 512 * MiB

/** Fills an image with random bytes, all of it allocated: no write of a run pays for allocation, and zstd finds nothing. */
export async function createRandomImage(path: string, sizeBytes: number = diskBytes): Promise<void> {
  const piece = Buffer.alloc(4 * MiB)
  function* pieces() {
    for (let written = 0; written < sizeBytes; written += piece.length)
      yield Buffer.from(randomFillSync(piece))
  }
  await pipeline(Readable.from(pieces(), { objectMode: true, highWaterMark: 1 }), createWriteStream(path))
}

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
