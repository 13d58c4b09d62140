import { fdatasync, fsync, read, writev, writevSync } from 'node:fs'

/*
 * Whole-length I/O at a position on a plain descriptor. The callback forms of node:fs are used because
 * a FileHandle costs several microseconds more per call, which the spool pays for every guest write.
 */

/** Fills `into` from `position`; returns the bytes read, fewer only at the end of the file. */
export async function readFully(fd: number, into: Buffer, position: number): Promise<number> {
  let done = 0
  while (done < into.length) {
    const count = await readOnce(fd, into.subarray(done), position + done)
    if (count === 0) break
    done += count
  }
  return done
}

/** Writes all buffers one after another from `position`, going on after short writes. */
export async function writeFully(fd: number, data: readonly Buffer[], position: number): Promise<void> {
  let left = data
  let at = position
  while (left.length > 0) {
    const count = await writeOnce(fd, left, at)
    at += count
    left = dropBytes(left, count)
  }
}

/** As writeFully, on the calling thread: no thread-pool hop, but it waits when the kernel throttles writers. */
export function writeFullyInline(fd: number, data: readonly Buffer[], position: number): void {
  let left = data
  let at = position
  while (left.length > 0) {
    const count = writevSync(fd, left, at)
    at += count
    left = dropBytes(left, count)
  }
}

/** fdatasync on the thread pool. */
export function syncData(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fdatasync(fd, (error) => (error ? reject(error) : resolve()))
  })
}

/** fsync on the thread pool; for directories and for sizes. */
export function syncAll(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fsync(fd, (error) => (error ? reject(error) : resolve()))
  })
}

/** What is left of a list of buffers after its first `byteCount` bytes; empty buffers go too. */
export function dropBytes(data: readonly Buffer[], byteCount: number): readonly Buffer[] {
  let toDrop = byteCount
  let index = 0
  while (index < data.length && data[index]!.length <= toDrop) {
    toDrop -= data[index]!.length
    index += 1
  }
  if (index === data.length) return []
  if (toDrop === 0) return index === 0 ? data : data.slice(index)
  return [data[index]!.subarray(toDrop), ...data.slice(index + 1)]
}

function readOnce(fd: number, into: Buffer, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, into, 0, into.length, position, (error, count) => (error ? reject(error) : resolve(count)))
  })
}

function writeOnce(fd: number, data: readonly Buffer[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    // libuv cuts lists above IOV_MAX (1024) into several pwritev calls itself.
    writev(fd, data, position, (error, count) => (error ? reject(error) : resolve(count)))
  })
}
