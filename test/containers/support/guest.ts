import { PacedWriter, waitFor } from '@blockferry/cli'
import { connectNbdWithRetry, type NbdDisk } from '@blockferry/nbd'
import { MiB } from '@blockferry/runtime'
import type { Deployment } from './deployment.ts'

/** A guest that writes through the published port and outlives the tap. */
export class Guest {
  readonly #disk: NbdDisk
  readonly #writer: PacedWriter

  private constructor(disk: NbdDisk) {
    this.#disk = disk
    this.#writer = new PacedWriter(disk, { bytesPerSecond: 2 * MiB })
    this.#writer.start()
  }

  static async start(deployment: Deployment, diskId: string): Promise<Guest> {
    const address = { host: '127.0.0.1', port: deployment.port('nbd') }
    return new Guest(await connectNbdWithRetry({ ...address, exportName: diskId, deadlineMs: 120_000 }))
  }

  get writes(): number {
    return this.#writer.writes
  }

  /** Resolves when so many more writes were answered. */
  async wrote(count: number): Promise<void> {
    const before = this.writes
    const what = `${count} more writes to be answered`
    await waitFor(() => this.writes - before >= count, { what, deadlineMs: 120_000 })
  }

  async end(): Promise<void> {
    await this.#writer.stop()
    await this.#disk.disconnect()
  }
}
