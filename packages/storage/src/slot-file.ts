import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { replaceFile } from './durable-create.ts'
import { syncData, writeFully } from './positional-io.ts'

/** The small file behind control slots, as a port: a real file, or one in memory for simulation. */
export interface SlotFile extends AsyncDisposable {
  /** The whole content, or null when the file does not exist. */
  readAll(): Promise<Buffer | null>
  /** Creates or replaces the content, durably and atomically. */
  replaceAll(content: Buffer): Promise<void>
  /** Overwrites part of the content. Durable after the next sync. */
  writeAt(position: number, data: Buffer): Promise<void>
  /** fdatasync. */
  sync(): Promise<void>
  close(): Promise<void>
}

/** A slot file on a file system; created by the first replaceAll. */
export function openSlotFile(path: string): SlotFile {
  let fd: number | null = null
  const descriptor = (): number => (fd ??= openSync(path, 'r+'))
  const close = async (): Promise<void> => {
    if (fd !== null) closeSync(fd)
    fd = null
  }
  return {
    readAll: async () =>
      statSync(path, { throwIfNoEntry: false }) === undefined ? null : readFileSync(path),
    replaceAll: async (content) => {
      await close()
      await replaceFile(path, content)
    },
    writeAt: (position, data) => writeFully(descriptor(), [data], position),
    sync: () => syncData(descriptor()),
    close,
    [Symbol.asyncDispose]: close,
  }
}
