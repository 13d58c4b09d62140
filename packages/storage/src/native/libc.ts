import { getSystemErrorName } from 'node:util'
import koffi from 'koffi'
import { fault } from '../error-catalogue.ts'

/*
 * What Node lacks, bound once (T2). File offsets are passed as int64_t, which is what off_t is on the
 * two platforms below; elsewhere the struct and constants would be guesses, so we refuse.
 */

type Call = (...args: readonly unknown[]) => number
type AsyncCall = (...args: readonly unknown[]) => void

/** The functions of the C library used here. */
export interface Libc {
  readonly fallocate: Call & { readonly async: AsyncCall }
  readonly fadvise: Call
  readonly lseek: Call & { readonly async: AsyncCall }
  readonly fcntl: Call
}

let loaded: Libc | undefined

/** Binds the C library at first use. @throws PLATFORM_UNSUPPORTED outside Linux on x64 and arm64. */
export function libc(): Libc {
  loaded ??= bind()
  return loaded
}

function bind(): Libc {
  const supported = process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64')
  if (!supported) {
    throw fault('PLATFORM_UNSUPPORTED', `no file bindings for ${process.platform} on ${process.arch}`, {
      details: { platform: process.platform, arch: process.arch },
    })
  }
  // Null is the running program itself, which is linked to its C library, glibc or musl.
  const library = koffi.load(null)
  return {
    fallocate: library.func('int fallocate(int fd, int mode, int64_t offset, int64_t len)'),
    fadvise: library.func('int posix_fadvise(int fd, int64_t offset, int64_t len, int advice)'),
    lseek: library.func('int64_t lseek(int fd, int64_t offset, int whence)'),
    fcntl: library.func('int fcntl(int fd, int cmd, ...)'),
  }
}

/** errno of the call that has just failed, on this thread. */
export function lastErrno(): number {
  return koffi.errno()
}

/** An error shaped like those of node:fs: `code` (`ENOSPC`), negative `errno`, `syscall`. */
export function systemError(syscall: string, errno: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno)
  return Object.assign(new Error(`${code}: ${syscall} failed`), { code, errno: -errno, syscall })
}

/** Runs a call on the thread pool; resolves with its result, rejects with its errno. */
export function callAsync(
  syscall: string,
  call: { readonly async: AsyncCall },
  args: readonly unknown[],
): Promise<number> {
  return new Promise((resolve, reject) => {
    call.async(...args, (error: Error | null, result: number) => {
      if (error) reject(error)
      // errno belongs to this call only until the callback returns.
      else if (result < 0) reject(systemError(syscall, lastErrno()))
      else resolve(result)
    })
  })
}
