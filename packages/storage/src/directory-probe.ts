import { open, unlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { lockDirectory } from './directory-lock.ts'
import { explainError } from './explain-error.ts'

/** Enough that a volume without a free block shows, small enough to cost nothing. */
const probeBytes = 64 * 1024

/**
 * Whether a state directory could be used now: it can be made, nobody holds it, and with `writes` (the
 * default) something new can be made durable in it. Leaves nothing behind but the directory and its lock file.
 * @throws STATE_LOCKED, EACCES, EROFS, ENOSPC … with what to do next
 */
export async function probeDirectory(
  path: string,
  options: { readonly writes?: boolean } = {},
): Promise<void> {
  const directory = resolve(path)
  try {
    const lock = await lockDirectory(directory)
    try {
      if (options.writes !== false) await writeProbe(join(directory, '.probe'))
    } finally {
      await lock.release()
    }
  } catch (error) {
    throw explainError(error, directory)
  }
}

async function writeProbe(path: string): Promise<void> {
  const file = await open(path, 'w')
  try {
    await file.writeFile(Buffer.alloc(probeBytes, 1))
    await file.sync()
  } finally {
    await file.close()
    await unlink(path)
  }
}
