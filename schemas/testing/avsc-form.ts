import { readFileSync } from 'node:fs'
import type { Generation, MarkEvent, Position, StreamEvent } from '@blockferry/disk-stream'
import avro from 'avsc'
import registry from '../fingerprints.json' with { type: 'json' }
import type { AnyRecord } from '../src/decode.ts'

/* Our records in the form avsc gives and takes: an independent Avro implementation as the judge of ours. */

/** Avro longs as bigint, exact over all 64 bits. */
function bigLong(): avro.Type {
  // oxlint-disable-next-line no-underscore-dangle -- avsc's documented name
  return avro.types.LongType.__with({
    fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
    toBuffer: (value: bigint) => {
      const bytes = Buffer.alloc(8)
      bytes.writeBigInt64LE(value)
      return bytes
    },
    fromJSON: BigInt,
    toJSON: String,
    isValid: (value: unknown) => typeof value === 'bigint',
    compare: (a: bigint, b: bigint) => (a === b ? 0 : a < b ? -1 : 1),
  })
}

export function readSchema(file: string): unknown {
  return JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'))
}

/** avsc's type of a kind's newest schema, unions wrapped. */
export function avscType(kind: AnyRecord['kind']): avro.Type {
  // Without logical types, which do not change the bytes: avsc would not use our long for those.
  const plain = JSON.stringify(readSchema(registry[kind].at(-1)?.schema ?? ''), (key, value: unknown) =>
    key === 'logicalType' ? undefined : value,
  )
  const schema = JSON.parse(plain.replaceAll('{"type":"long"}', '"long"')) as avro.Schema
  return avro.Type.forSchema(schema, { registry: { long: bigLong() }, wrapUnions: true })
}

type Form = Record<string, unknown>

const long = BigInt
const bytesOf = (hex: string): Buffer => Buffer.from(hex, 'hex')
const symbol = (value: string): string => value.toUpperCase().replaceAll('-', '_')

function wrap(branch: string, value: unknown): unknown {
  return value === null ? null : { [branch]: value }
}

function positionForm(at: Position): Form {
  return {
    generation: long(at.generation),
    generationId: bytesOf(at.generationId),
    sequence: long(at.sequence),
    chain: long(at.chain),
  }
}

const maybePosition = (at: Position | null): unknown =>
  wrap('blockferry.Position', at === null ? null : positionForm(at))

function generationForm(generation: Generation): Form {
  const { base, stamp } = generation
  const bases = {
    none: () => null,
    full: () => ({ 'blockferry.FullBase': {} }),
    position: () => (base.kind === 'position' ? maybePosition(base.position) : null),
  }
  return {
    number: long(generation.number),
    id: bytesOf(generation.id),
    ownerSite: generation.ownerSite,
    reason: symbol(generation.reason),
    base: bases[base.kind](),
    predecessor: maybePosition(generation.predecessor),
    stamp: { agentId: stamp.agentId, counter: long(stamp.counter) },
  }
}

function eventForm(event: StreamEvent, baseTimeMs: number): Form {
  const after = { capturedAfterMs: long(event.capturedAtMs - baseTimeMs) }
  const place = (at: { byteOffset: number; byteLength: number }): Form => ({
    byteOffset: long(at.byteOffset),
    byteLength: long(at.byteLength),
  })
  switch (event.kind) {
    case 'write':
      return { 'blockferry.Write': { ...after, ...place(event), dataCrc: long(event.dataCrc) } }
    case 'zero':
      return { 'blockferry.Zero': { ...after, ...place(event), mayUnmap: event.mayUnmap } }
    case 'resyncDone':
      return { 'blockferry.ResyncDone': after }
    case 'geometry':
      return { 'blockferry.Geometry': { ...after, sizeBytes: long(event.sizeBytes) } }
    case 'digest':
      return {
        'blockferry.Digest': {
          ...after,
          extents: event.extents.map((extent) => ({ ...place(extent), sha256: bytesOf(extent.sha256) })),
        },
      }
    case 'recoveryPoint':
      return {
        'blockferry.RecoveryPoint': {
          ...after,
          cutId: bytesOf(event.cutId),
          groupId: wrap('string', event.groupId),
          members: event.members,
          name: wrap('string', event.name),
          requestId: wrap('string', event.requestId),
          wallTimeMs: long(event.wallTimeMs),
        },
      }
  }
}

function writeGroupForm(group: Extract<AnyRecord, { kind: 'WriteGroup' }>['record']): Form {
  const baseTimeMs = group.events[0]?.capturedAtMs ?? 0
  return {
    ...group,
    generation: generationForm(group.generation),
    firstSequence: long(group.firstSequence),
    chainBefore: long(group.chainBefore),
    chainAfter: long(group.chainAfter),
    baseTimeMs: long(baseTimeMs),
    events: group.events.map((event) => eventForm(event, baseTimeMs)),
    payloadCrc: long(group.payloadCrc),
  }
}

function updateSetForm(set: Extract<AnyRecord, { kind: 'UpdateSet' }>['record']): Form {
  const content = (extent: (typeof set.extents)[number]): string =>
    extent.kind === 'data' ? 'DATA' : extent.mayUnmap ? 'ZERO_MAY_UNMAP' : 'ZERO'
  const markForm = (mark: MarkEvent): Form => eventForm(mark, set.firstCapturedAtMs)
  return {
    diskId: set.diskId,
    generation: generationForm(set.generation),
    firstSequence: long(set.firstSequence),
    lastSequence: long(set.lastSequence),
    chainBefore: long(set.chainBefore),
    chainAfter: long(set.chainAfter),
    joints: set.joints.map(({ sequence, chain }) => ({ sequence: long(sequence), chain: long(chain) })),
    baseTimeMs: long(set.firstCapturedAtMs),
    lastCapturedAfterMs: long(set.lastCapturedAtMs - set.firstCapturedAtMs),
    rawBytes: long(set.rawBytes),
    resumeInputOffset: set.resumeInputOffset,
    mark: set.mark === null ? null : markForm(set.mark),
    extents: set.extents.map((extent) => ({
      byteOffset: long(extent.byteOffset),
      byteLength: long(extent.byteLength),
      content: content(extent),
    })),
    codec: symbol(set.codec),
    payloadCrc: long(set.payloadCrc),
    payload: set.payload,
  }
}

function heartbeatForm(heartbeat: Extract<AnyRecord, { kind: 'Heartbeat' }>['record']): Form {
  return {
    ...heartbeat,
    stamp: { agentId: heartbeat.stamp.agentId, counter: long(heartbeat.stamp.counter) },
    clockSkew: wrap('blockferry.ClockSkew', heartbeat.clockSkew),
    disks: heartbeat.disks.map((disk) => ({
      ...disk,
      code: wrap('string', disk.code),
      position: maybePosition(disk.position),
      consistentAsOfMs: wrap('double', disk.consistentAsOfMs),
      spooledEvents: long(disk.spooledEvents),
      spooledBytes: long(disk.spooledBytes),
      oldestSpooledAtMs: wrap('double', disk.oldestSpooledAtMs),
      progress: wrap(
        'blockferry.SyncProgress',
        disk.progress === null
          ? null
          : {
              phase: symbol(disk.progress.phase),
              doneBytes: long(disk.progress.doneBytes),
              totalBytes: long(disk.progress.totalBytes),
              etaMs: wrap('double', disk.progress.etaMs),
            },
      ),
    })),
    resumeInputOffset: wrap('long', heartbeat.resumeInputOffset),
  }
}

/** A record as avsc takes it. */
export function avscForm(any: AnyRecord): Form {
  switch (any.kind) {
    case 'WriteGroup':
      return writeGroupForm(any.record)
    case 'UpdateSet':
      return updateSetForm(any.record)
    case 'Heartbeat':
      return heartbeatForm(any.record)
    case 'DiskDescriptor':
      return {
        ...any.record,
        formatVersion: long(any.record.formatVersion),
        sizeBytes: long(any.record.sizeBytes),
        provisioning: symbol(any.record.provisioning),
        groupId: wrap('string', any.record.groupId),
        kafkaPartition: long(any.record.kafkaPartition),
        generation: long(any.record.generation),
        generationId: bytesOf(any.record.generationId),
      }
    case 'Ownership':
      return { diskId: any.record.diskId, generation: generationForm(any.record.generation) }
    case 'PositionReport':
      return {
        ...any.record,
        code: wrap('string', any.record.code),
        received: maybePosition(any.record.received),
        applied: maybePosition(any.record.applied),
        echo: wrap('blockferry.HeartbeatEcho', any.record.echo),
      }
    case 'StreamRequest':
      return {
        ...any.record,
        kind: symbol(any.record.kind),
        expectedGeneration: long(any.record.expectedGeneration),
        fromSequence: long(any.record.fromSequence),
      }
  }
}
