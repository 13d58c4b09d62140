import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A disk that some server offers, and the file behind it: what the client suites judge. */
export interface ServedDisk {
  readonly uri: string
  readonly socketPath: string
  readonly exportName: string
  /** The raw file whose bytes are the disk's. */
  readonly backingPath: string
  readonly sizeBytes: number
  /** Ends the server in an orderly way and removes what it made. */
  readonly stop: () => Promise<void>
}

/** The NBD server in a child process, with a raw sparse file behind it and nothing else. */
export async function startPlainServer(
  options: { readonly sizeBytes?: number; readonly limits?: object } = {},
): Promise<ServedDisk> {
  const sizeBytes = options.sizeBytes ?? 256 << 20
  const directory = await mkdtemp(join(tmpdir(), 'blockferry-nbd-'))
  const backingPath = join(directory, 'disk.raw')
  const socketPath = join(directory, 'socket')
  const main = join(import.meta.dirname, 'nbd-server-main.ts')
  const limits = ['--limits', JSON.stringify(options.limits ?? {})]
  const child = spawn(
    process.execPath,
    [main, '--file', backingPath, '--socket', socketPath, '--size-bytes', String(sizeBytes), ...limits],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const listening = new Promise<void>((resolve) => child.stdout.once('data', () => resolve()))
  await Promise.race([
    listening,
    exited.then((status) => {
      throw new Error(`the server ended with ${status} before it listened`)
    }),
  ])
  return {
    uri: `nbd+unix:///disk?socket=${socketPath}`,
    socketPath,
    exportName: 'disk',
    backingPath,
    sizeBytes,
    async stop() {
      child.kill('SIGTERM')
      const status = await exited
      await rm(directory, { recursive: true })
      if (status !== 0) throw new Error(`the server ended with ${status}`)
    },
  }
}
