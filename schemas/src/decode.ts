import { crc32 } from 'node:zlib'
import { messageBytesMax } from '@blockferry/disk-stream'
import type {
  DiskDescriptor,
  Heartbeat,
  Ownership,
  PositionReport,
  StreamRequest,
  UpdateSet,
  WriteGroup,
} from '@blockferry/disk-stream'
import registry from '../fingerprints.json' with { type: 'json' }
import { AvroReader } from './avro-reader.ts'
import { readDiskDescriptor, readOwnership } from './disk-codec.ts'
import { fault } from './error-catalogue.ts'
import { readHeartbeat } from './heartbeat-codec.ts'
import { readPositionReport } from './position-report-codec.ts'
import { headerBytes } from './single-object.ts'
import { readStreamRequest } from './stream-request-codec.ts'
import { readUpdateSet } from './update-set-codec.ts'
import { readWriteGroup } from './write-group-codec.ts'

/** Any record that crosses Kafka. */
export type AnyRecord =
  | { readonly kind: 'WriteGroup'; readonly record: WriteGroup }
  | { readonly kind: 'UpdateSet'; readonly record: UpdateSet }
  | { readonly kind: 'Heartbeat'; readonly record: Heartbeat }
  | { readonly kind: 'DiskDescriptor'; readonly record: DiskDescriptor }
  | { readonly kind: 'Ownership'; readonly record: Ownership }
  | { readonly kind: 'PositionReport'; readonly record: PositionReport }
  | { readonly kind: 'StreamRequest'; readonly record: StreamRequest }

type Reader = (from: AvroReader) => AnyRecord

/** One reader per version of each kind, oldest first, as fingerprints.json lists them. */
const readers: Readonly<Record<keyof typeof registry, readonly Reader[]>> = {
  WriteGroup: [(from) => ({ kind: 'WriteGroup', record: readWriteGroup(from) })],
  UpdateSet: [(from) => ({ kind: 'UpdateSet', record: readUpdateSet(from) })],
  Heartbeat: [(from) => ({ kind: 'Heartbeat', record: readHeartbeat(from) })],
  DiskDescriptor: [(from) => ({ kind: 'DiskDescriptor', record: readDiskDescriptor(from) })],
  Ownership: [(from) => ({ kind: 'Ownership', record: readOwnership(from) })],
  PositionReport: [(from) => ({ kind: 'PositionReport', record: readPositionReport(from) })],
  StreamRequest: [(from) => ({ kind: 'StreamRequest', record: readStreamRequest(from) })],
}

const readerOf: ReadonlyMap<string, Reader> = new Map(
  (Object.keys(readers) as (keyof typeof registry)[]).flatMap((kind) =>
    registry[kind].flatMap(({ fingerprint }, version): [string, Reader][] => {
      const read = readers[kind][version]
      return read === undefined ? [] : [[fingerprint, read]]
    }),
  ),
)

/**
 * Decodes any of our messages. Payloads are views into `value`; their CRC-32 is checked here.
 *
 * Faults: UNKNOWN_SCHEMA, TRUNCATED_RECORD, RECORD_TOO_LONG, INVALID_RECORD, PAYLOAD_CRC.
 */
export function decodeRecord(value: Buffer): AnyRecord {
  if (value.length > messageBytesMax) {
    throw fault('RECORD_TOO_LONG', `message of ${value.length} bytes, at most ${messageBytesMax}`)
  }
  if (value.length < headerBytes) {
    throw fault('TRUNCATED_RECORD', `message of ${value.length} bytes: shorter than any header`)
  }
  const header = value.toString('hex', 0, headerBytes)
  const read = header.startsWith('c301') ? readerOf.get(header.slice(4)) : undefined
  if (read === undefined)
    throw fault('UNKNOWN_SCHEMA', `message starts with ${header}`, { details: { header } })
  const from = new AvroReader(value, headerBytes)
  const any = read(from)
  from.end()
  if (any.kind === 'WriteGroup' || any.kind === 'UpdateSet') checkCrc(any.record)
  return any
}

function checkCrc(record: WriteGroup | UpdateSet): void {
  const found = crc32(record.payload)
  if (found === record.payloadCrc) return
  throw fault(
    'PAYLOAD_CRC',
    `payload of disk ${record.diskId}: CRC ${found}, expected ${record.payloadCrc}`,
    {
      details: { diskId: record.diskId, expected: record.payloadCrc, found },
    },
  )
}
