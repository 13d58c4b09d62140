import type { ErrorCatalogue } from '@blockferry/runtime'
import { faultsOf } from '@blockferry/runtime'

export const catalogue = {
  LOG_FULL: {
    summary: 'The log has reached its size limit; nothing of the append was written.',
    nextCommand: 'df -h DIR   # let the reader catch up, or raise the limit',
  },
  LOG_NO_SPACE: {
    summary: 'The volume of the log is full; nothing of the append is in the log.',
    nextCommand: 'df -h DIR   # free space on the volume',
  },
  LOG_IO: {
    summary: 'The volume of the log fails; nothing of the append is in the log.',
    nextCommand: 'dmesg --level=err | tail   # repair or replace the volume',
  },
  LOG_SYNC_FAILED: {
    summary: 'An fdatasync of the log failed: what came after the last good one may never reach the disk.',
    nextCommand: 'dmesg --level=err | tail   # repair the volume, then restart the service',
  },
  LOG_CORRUPT: {
    summary: 'A frame of the log fails its checks.',
    nextCommand: 'dmesg --level=err | tail   # check the volume; the owner of the log resynchronises',
  },
  LOG_GONE: {
    summary: 'The log no longer keeps what was asked for.',
    nextCommand: 'none: the reader asks its source again',
  },
} as const satisfies ErrorCatalogue

/** Makes this workspace's faults. */
export const fault = faultsOf<keyof typeof catalogue>(catalogue)
