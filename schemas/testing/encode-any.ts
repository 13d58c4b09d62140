import { unreachable } from '@blockferry/runtime'
import type { AnyRecord } from '../src/decode.ts'
import { encodeDiskDescriptor, encodeOwnership } from '../src/disk-codec.ts'
import { encodeHeartbeat } from '../src/heartbeat-codec.ts'
import { encodePositionReport } from '../src/position-report-codec.ts'
import { encodeStreamRequest } from '../src/stream-request-codec.ts'
import { encodeUpdateSet } from '../src/update-set-codec.ts'
import { encodeWriteGroup } from '../src/write-group-codec.ts'

/** The encoder of whatever kind a test holds. */
export function encodeAny(any: AnyRecord): Buffer {
  switch (any.kind) {
    case 'WriteGroup':
      return encodeWriteGroup(any.record)
    case 'UpdateSet':
      return encodeUpdateSet(any.record)
    case 'Heartbeat':
      return encodeHeartbeat(any.record)
    case 'DiskDescriptor':
      return encodeDiskDescriptor(any.record)
    case 'Ownership':
      return encodeOwnership(any.record)
    case 'PositionReport':
      return encodePositionReport(any.record)
    case 'StreamRequest':
      return encodeStreamRequest(any.record)
    default:
      return unreachable(any)
  }
}
