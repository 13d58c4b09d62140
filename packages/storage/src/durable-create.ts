import { randomBytes } from 'node:crypto'
import { link, mkdir, open, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { codeOf } from '@blockferry/runtime'

/** Makes the names in a directory durable: a new, renamed or removed file counts only after this. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** Creates a directory, with its parents, durably. */
export async function createDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true })
  await syncDirectory(dirname(path))
}

/**
 * Creates a sparse file of a size, durably, unless there is one; it appears under its name only when it is
 * whole. Never replaces a file: another process may have made it at this moment and hold it already.
 */
export function createSparseFile(path: string, sizeBytes: number): Promise<void> {
  return createWhole(path, { fill: async (file) => file.truncate(sizeBytes), publish: linkUnlessThere })
}

/** Creates or replaces a file with `content`, durably and atomically: a crash leaves the old or the new one. */
export function replaceFile(path: string, content: Buffer): Promise<void> {
  const fill = async (file: FileHandle): Promise<void> => file.writeFile(content)
  return createWhole(path, { fill, publish: rename })
}

type FileHandle = Awaited<ReturnType<typeof open>>

interface Creation {
  readonly fill: (file: FileHandle) => Promise<void>
  /** Gives the temporary file its name, and takes the temporary one away. */
  readonly publish: (temporary: string, path: string) => Promise<void>
}

async function linkUnlessThere(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
  await unlink(temporary)
}

async function createWhole(path: string, creation: Creation): Promise<void> {
  // Not the process id: in containers that share a volume every process is number one.
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.new`)
  const file = await open(temporary, 'w')
  try {
    await creation.fill(file)
    await file.sync()
    await file.close()
    await creation.publish(temporary, path)
  } catch (error) {
    await file.close()
    await unlink(temporary)
    throw error
  }
  await syncDirectory(dirname(path))
}
