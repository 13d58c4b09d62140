import { mkdir, open, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

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

/** Creates a sparse file of a size, durably; it appears under its name only when it is whole. */
export function createSparseFile(path: string, sizeBytes: number): Promise<void> {
  return createWhole(path, async (file) => file.truncate(sizeBytes))
}

/** Creates or replaces a file with `content`, durably and atomically: a crash leaves the old or the new one. */
export function replaceFile(path: string, content: Buffer): Promise<void> {
  return createWhole(path, async (file) => {
    await file.writeFile(content)
  })
}

async function createWhole(
  path: string,
  fill: (file: Awaited<ReturnType<typeof open>>) => Promise<void>,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.new`)
  const file = await open(temporary, 'w')
  try {
    await fill(file)
    await file.sync()
    await file.close()
    await rename(temporary, path)
  } catch (error) {
    await file.close()
    await unlink(temporary)
    throw error
  }
  await syncDirectory(dirname(path))
}
