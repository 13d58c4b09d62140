import { TransmissionFlag } from '../protocol/constants.ts'
import type { NbdExport } from './nbd-export.ts'

const always =
  TransmissionFlag.HAS_FLAGS |
  TransmissionFlag.SEND_FLUSH |
  TransmissionFlag.SEND_FUA |
  TransmissionFlag.SEND_TRIM |
  TransmissionFlag.SEND_WRITE_ZEROES |
  TransmissionFlag.SEND_FAST_ZERO |
  TransmissionFlag.SEND_CACHE |
  // An export is one object for all of its connections, so a flush covers them all (T1).
  TransmissionFlag.CAN_MULTI_CONN

/** What an export offers. SEND_DF "MUST be clear if structured replies have not been negotiated". */
export function transmissionFlagsOf(disk: NbdExport, structuredReplies: boolean): number {
  return (
    always |
    (disk.readOnly ? TransmissionFlag.READ_ONLY : 0) |
    (structuredReplies ? TransmissionFlag.SEND_DF : 0)
  )
}
