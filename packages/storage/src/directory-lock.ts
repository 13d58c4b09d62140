import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { createDirectory } from './durable-create.ts'
import { fault } from './error-catalogue.ts'
import { tryLock } from './native/file-lock.ts'

/** Name of the lock file in a locked directory; it holds process id and host of its last holder, for people. */
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
    throw inUse(directory, readFileSync(lockPath, 'utf8'))
  }
  noteHolder(fd)
  const release = async (): Promise<void> => {
    if (fd !== null) closeSync(fd)
    fd = null
  }
  return { directory, release, [Symbol.asyncDispose]: release }
}

/** For people only, so a full volume keeps nobody from the lock. */
function noteHolder(fd: number): void {
  try {
    ftruncateSync(fd, writeSync(fd, `${process.pid} ${hostname()}\n`, 0))
  } catch {
    // Whoever is refused meanwhile learns no name.
  }
}

/** Another container's process id means nothing here: its host name, which is the container's id, does. */
function inUse(directory: string, lockText: string): Error {
  const [pid = '', host = ''] = lockText.trim().split(' ')
  const holder = Number.parseInt(pid, 10) || null
  const where = host === '' || host === hostname() ? '' : ` on host ${host}`
  const who = holder === null ? '' : ` by process ${holder}${where}`
  return fault('STATE_LOCKED', `${directory} is in use${who}`, { details: { directory, holder, host } })
}
