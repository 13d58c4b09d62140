import type { ErrorCatalogue } from '@blockferry/runtime'
import { faultsOf } from '@blockferry/runtime'

/** Faults of local storage. Errors of the kernel keep their own codes; those that operators meet are listed last. */
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
    nextCommand:
      'lslocks -o PID,COMMAND,PATH   # in containers: docker ps --filter volume=NAME; stop the holder, it is tried again',
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
    nextCommand:
      'lslocks -o PID,COMMAND,PATH   # in containers: docker ps --filter volume=NAME; stop the holder, or name another directory',
  },
  EACCES: {
    summary: 'The process may not read or write the path.',
    nextCommand: 'ls -ldn PATH   # then: chown -R UID:GID PATH, as a user who may',
  },
  EPERM: {
    summary: 'The operation on the path is not permitted.',
    nextCommand: 'ls -ldn PATH; lsattr -d PATH   # then: chown -R UID:GID PATH, as a user who may',
  },
  EROFS: {
    summary: 'The path is on a file system that is mounted read-only.',
    nextCommand: 'findmnt -T PATH   # mount it read-write',
  },
  ENOSPC: {
    summary: 'The volume is full.',
    nextCommand: 'df -h PATH; df -i PATH   # make room or enlarge the volume',
  },
  EDQUOT: {
    summary: 'The quota of the user on this volume is used up.',
    nextCommand: 'quota   # raise it, or make room at PATH',
  },
} as const satisfies ErrorCatalogue

/** Makes this workspace's faults. */
export const fault = faultsOf<keyof typeof catalogue>(catalogue)
