import { Command, CommandFlag } from '../protocol/constants.ts'
import type { NbdErrnoName } from '../protocol/nbd-error.ts'
import type { RequestHeader } from '../protocol/request-codec.ts'
import type { Negotiated } from './negotiation.ts'

/** A request that the specification lets us refuse before the export sees it. */
export interface Refusal {
  readonly errno: NbdErrnoName
  readonly why: string
}

/**
 * Flags of each command. FUA "is valid for all commands"; a "flag not explicitly documented as applicable
 * to the given request" is EINVAL.
 */
const flagsOfCommand: readonly number[] = [
  CommandFlag.FUA | CommandFlag.DF,
  CommandFlag.FUA,
  CommandFlag.FUA,
  CommandFlag.FUA,
  CommandFlag.FUA,
  CommandFlag.FUA,
  CommandFlag.FUA | CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO,
  CommandFlag.FUA | CommandFlag.REQ_ONE,
]

const unknownCommand: Refusal = { errno: 'EINVAL', why: 'unknown command' }
const unknownFlag: Refusal = { errno: 'EINVAL', why: 'unknown or inapplicable command flag' }
const flagNotNegotiated: Refusal = {
  errno: 'EINVAL',
  why: 'NBD_CMD_FLAG_DF needs structured replies',
}
const noContext: Refusal = {
  errno: 'EINVAL',
  why: 'no metadata context was selected for this export',
}
const emptyStatus: Refusal = { errno: 'EINVAL', why: 'block status of nothing' }
const flushExtent: Refusal = { errno: 'EINVAL', why: 'offset and length of a flush must be zero' }
const readOnly: Refusal = { errno: 'EPERM', why: 'the export is read-only' }
const beyondEnd: Refusal = { errno: 'EINVAL', why: 'beyond the end of the export' }
const noSpace: Refusal = { errno: 'ENOSPC', why: 'beyond the end of the export' }
const writeTooLong: Refusal = {
  errno: 'EINVAL',
  why: 'longer than the maximum payload size',
}
const readTooLong: Refusal = {
  errno: 'EOVERFLOW',
  why: 'longer than the maximum payload size',
}

/**
 * Bounds, flags, lengths and permissions of a request, as "Error values" and "Request types" say. Undefined:
 * the export may see it.
 */
export function refusalOf(
  header: RequestHeader,
  negotiated: Negotiated,
  payloadBytesMax: number,
): Refusal | undefined {
  const allowedFlags = flagsOfCommand[header.type]
  if (allowedFlags === undefined) return unknownCommand
  if ((header.commandFlags & ~allowedFlags) !== 0) return unknownFlag
  const { disk } = negotiated
  const end = header.byteOffset + header.byteLength
  switch (header.type) {
    case Command.READ:
      if ((header.commandFlags & CommandFlag.DF) !== 0 && !negotiated.structuredReplies) {
        return flagNotNegotiated
      }
      if (header.byteLength > payloadBytesMax) return readTooLong
      return end > disk.sizeBytes ? beyondEnd : undefined
    case Command.WRITE:
      if (disk.readOnly) return readOnly
      if (header.byteLength > payloadBytesMax) return writeTooLong
      return end > disk.sizeBytes ? noSpace : undefined
    case Command.WRITE_ZEROES:
      if (disk.readOnly) return readOnly
      return end > disk.sizeBytes ? noSpace : undefined
    case Command.TRIM:
      if (disk.readOnly) return readOnly
      return end > disk.sizeBytes ? beyondEnd : undefined
    case Command.FLUSH:
      return end > 0 ? flushExtent : undefined
    case Command.BLOCK_STATUS:
      if (!negotiated.allocationContext) return noContext
      if (header.byteLength === 0) return emptyStatus
      return end > disk.sizeBytes ? beyondEnd : undefined
    case Command.CACHE:
      return end > disk.sizeBytes ? beyondEnd : undefined
    default:
      return undefined
  }
}
