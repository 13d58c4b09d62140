import registry from '../fingerprints.json' with { type: 'json' }
import type { AvroWriter } from './avro-writer.ts'

/*
 * Avro single-object encoding: C3 01, the schema's CRC-64-AVRO fingerprint (8 bytes, little-endian), body.
 */

/** Bytes before the body. */
export const headerBytes = 10

export type RecordKind = keyof typeof registry

/** The two marker bytes and the fingerprint of the version that each kind is written in: its newest. */
export const schemas: Readonly<Record<RecordKind, Buffer>> = {
  WriteGroup: newest('WriteGroup'),
  UpdateSet: newest('UpdateSet'),
  Heartbeat: newest('Heartbeat'),
  DiskDescriptor: newest('DiskDescriptor'),
  Ownership: newest('Ownership'),
  PositionReport: newest('PositionReport'),
  StreamRequest: newest('StreamRequest'),
}

function newest(kind: RecordKind): Buffer {
  return Buffer.from(`c301${registry[kind].at(-1)?.fingerprint ?? ''}`, 'hex')
}

export function startMessage(to: AvroWriter, schema: Buffer): void {
  to.raw(schema)
}
