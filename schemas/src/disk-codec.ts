import type { DiskDescriptor, Ownership, Provisioning } from '@blockferry/disk-stream'
import type { AvroReader } from './avro-reader.ts'
import { AvroWriter } from './avro-writer.ts'
import { readGeneration, writeGeneration } from './generation-codec.ts'
import { schemas, startMessage } from './single-object.ts'

/** In the order of the schema's symbols. */
const provisionings = ['thin', 'thick-lazy', 'thick-eager'] as const satisfies readonly Provisioning[]

/** A DiskDescriptor as a message. */
export function encodeDiskDescriptor(descriptor: DiskDescriptor): Buffer {
  const to = new AvroWriter(512)
  startMessage(to, schemas.DiskDescriptor)
  to.id('disk id', descriptor.diskId)
  to.uint('format version', descriptor.formatVersion)
  to.uint('size', descriptor.sizeBytes)
  to.choice('provisioning', provisionings, descriptor.provisioning)
  to.nullable(descriptor.groupId, (id) => to.id('group id', id))
  to.uint('kafka partition', descriptor.kafkaPartition)
  to.id('owner site', descriptor.ownerSite)
  to.uint('generation', descriptor.generation)
  to.fixedHex('generation id', descriptor.generationId, 16)
  return to.finish()
}

export function readDiskDescriptor(from: AvroReader): DiskDescriptor {
  return {
    diskId: from.id('disk id'),
    formatVersion: from.uint('format version'),
    sizeBytes: from.uint('size'),
    provisioning: from.choice('provisioning', provisionings),
    groupId: from.nullable('group id', () => from.id('group id')),
    kafkaPartition: from.uint('kafka partition', 0x7fff_ffff),
    ownerSite: from.id('owner site'),
    generation: from.uint('generation'),
    generationId: from.fixedHex(16),
  }
}

/** An Ownership record as a message. */
export function encodeOwnership(ownership: Ownership): Buffer {
  const to = new AvroWriter(512)
  startMessage(to, schemas.Ownership)
  to.id('disk id', ownership.diskId)
  writeGeneration(to, ownership.generation)
  return to.finish()
}

export function readOwnership(from: AvroReader): Ownership {
  return { diskId: from.id('disk id'), generation: readGeneration(from) }
}
