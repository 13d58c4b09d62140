import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { lastErrno, libc, systemError } from './libc.ts'

const F_OFD_GETLK = 36
const F_OFD_SETLK = 37
const F_RDLCK = 0
const F_WRLCK = 1
const F_UNLCK = 2
/** struct flock on 64-bit Linux: l_type and l_whence (16 bits each), l_start at 8, l_len at 16, l_pid at 24. */
const flockBytes = 32

/** `exclusive` needs a descriptor open for writing, `shared` one open for reading. */
export type LockKind = 'exclusive' | 'shared'

/**
 * Locks the whole file for as long as the descriptor is open. The lock belongs to the open file
 * description: two opens in one process exclude each other too, and closing another descriptor of the
 * same file does not drop it (as the old POSIX locks would). QEMU's image locks are of the same kind,
 * so a QEMU that has the image open is seen as well.
 * @returns false when another holder is in the way
 */
export function tryLock(fd: number, kind: LockKind): boolean {
  if (libc().fcntl(fd, F_OFD_SETLK, 'void *', flock(kind)) === 0) return true
  const error = systemError('fcntl(F_OFD_SETLK)', lastErrno())
  if (error.code === 'EAGAIN' || error.code === 'EACCES') return false
  throw error
}

/** Whether another open file description's lock would refuse this one. Takes nothing. */
export function isLockedElsewhere(fd: number, kind: LockKind): boolean {
  const probe = flock(kind)
  if (libc().fcntl(fd, F_OFD_GETLK, 'void *', probe) !== 0)
    throw systemError('fcntl(F_OFD_GETLK)', lastErrno())
  return probe.readInt16LE(0) !== F_UNLCK
}

/**
 * The process that holds a lock on `path`, or null when it cannot be told (no right to look, a holder
 * in another namespace). The kernel names no owner for these locks, so this looks for a process that
 * has the file open with one. Only for messages: it walks /proc.
 */
export function findLockHolder(path: string, own: number): number | null {
  for (const pid of directoryEntries('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    for (const fd of directoryEntries(`/proc/${pid}/fd`)) {
      const isOurs = pid === String(process.pid) && fd === String(own)
      if (!isOurs && linkTarget(`/proc/${pid}/fd/${fd}`) === path && holdsLock(pid, fd)) return Number(pid)
    }
  }
  return null
}

function flock(kind: LockKind): Buffer {
  const whole = Buffer.alloc(flockBytes)
  whole.writeInt16LE(kind === 'exclusive' ? F_WRLCK : F_RDLCK, 0)
  return whole
}

function holdsLock(pid: string, fd: string): boolean {
  return attempt(() => /^lock:/m.test(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))) ?? false
}

function directoryEntries(path: string): readonly string[] {
  return attempt(() => readdirSync(path)) ?? []
}

function linkTarget(path: string): string | null {
  return attempt(() => readlinkSync(path))
}

/** A process may end, or be someone else's, while we look: then it is simply not the one we can name. */
function attempt<T>(look: () => T): T | null {
  try {
    return look()
  } catch {
    return null
  }
}
