import type { ErrorCatalogue } from '@blockferry/runtime'
import { faultsOf } from '@blockferry/runtime'

/** Faults of local storage. Errors of the kernel itself (`EIO`, `ENOSPC`) keep their own codes. */
export const catalogue = {
  PLATFORM_UNSUPPORTED: {
    summary: 'This operating system or processor is not one the file bindings were written for.',
    nextCommand: 'uname -sm   # Linux on x86_64 or aarch64 is needed',
  },
  FILE_SYSTEM_UNSUPPORTED: {
    summary: 'The file system cannot reserve space for a file (fallocate).',
    nextCommand: 'df -T DIR   # use ext4, xfs, btrfs or tmpfs',
  },
  DISK_LOCKED: {
    summary: 'Another process holds the lock of the disk file.',
    nextCommand: 'lslocks -o PID,COMMAND,PATH   # stop the holder, then start again',
  },
  DISK_SIZE_INVALID: {
    summary: 'The disk file is empty or its size is not a multiple of 512 bytes.',
    nextCommand: 'stat -c %s FILE   # truncate -s to a multiple of 512',
  },
  DISK_MISSING: {
    summary: 'The disk file does not exist.',
    nextCommand: 'ls -l FILE   # correct the path, or create the file',
  },
  DISK_READ_ONLY: {
    summary: 'The disk file cannot be written, and writing was asked for.',
    nextCommand: 'ls -l FILE   # chmod u+w, or remount its file system read-write',
  },
  DISK_KIND_UNSUPPORTED: {
    summary: 'The path is not a regular file.',
    nextCommand: 'stat FILE   # name a raw image file',
  },
  DISK_SHRUNK: {
    summary: 'The disk file ended before the size it had when it was opened.',
    nextCommand: 'stat -c %s FILE   # restore its size, then restart the service',
  },
  DISK_FLUSH_FAILED: {
    summary: 'A flush failed earlier: what the page cache shows may never have reached the disk.',
    nextCommand: 'dmesg --level=err | tail   # repair the storage, then reopen the disk',
  },
  DISK_CLOSED: {
    summary: 'The disk was closed while the call was under way.',
    nextCommand: 'none: the process that owned the disk has stopped',
  },
  SLOTS_CORRUPT: {
    summary: 'Both control slots fail their checksums: the durable state of this disk is lost.',
    nextCommand: 'move the slot file away, then restart: the disk is resynchronised in full',
  },
  STATE_LOCKED: {
    summary: 'Another process uses this state directory.',
    nextCommand: 'lslocks -o PID,COMMAND,PATH   # stop the holder, or name another directory',
  },
} as const satisfies ErrorCatalogue

/** Makes this workspace's faults. */
export const fault = faultsOf<keyof typeof catalogue>(catalogue)
