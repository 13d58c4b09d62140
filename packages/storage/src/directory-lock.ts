import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createDirectory } from './durable-create.ts'
import { fault } from './error-catalogue.ts'
import { tryLock } from './native/file-lock.ts'

/** Name of the lock file in a locked directory; it holds the process id of its last holder, for people. */
export const lockFileName = 'lock'

export interface DirectoryLock extends AsyncDisposable {
  readonly directory: string
  release(): Promise<void>
}

/**
 * Creates a state directory when it is missing, durably, and locks it for this process (T2: one agent
 * per state directory). The kernel drops the lock when the process ends, however it ends.
 * @throws STATE_LOCKED when another holder is alive
 */
export async function lockDirectory(path: string): Promise<DirectoryLock> {
  const directory = resolve(path)
  await createDirectory(directory)
  const lockPath = join(directory, lockFileName)
  let fd: number | null = openSync(lockPath, constants.O_RDWR | constants.O_CREAT, 0o644)
  if (!tryLock(fd, 'exclusive')) {
    closeSync(fd)
    const holder = Number.parseInt(readFileSync(lockPath, 'utf8'), 10) || null
    throw fault('STATE_LOCKED', `${directory} is in use${holder === null ? '' : ` by process ${holder}`}`, {
      details: { directory, holder },
    })
  }
  ftruncateSync(fd, 0)
  writeSync(fd, `${process.pid}\n`, 0)
  const release = async (): Promise<void> => {
    if (fd !== null) closeSync(fd)
    fd = null
  }
  return { directory, release, [Symbol.asyncDispose]: release }
}
