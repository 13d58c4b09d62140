import { crc32 } from 'node:zlib'
import {
  provisionings,
  tapStates,
  applierStates,
  requestKinds,
  generationReasons,
} from '@blockferry/disk-stream'
import type { Generation, MarkEvent, Position, SetExtent, StreamEvent } from '@blockferry/disk-stream'
import * as fc from 'fast-check'
import type { AnyRecord } from '../src/decode.ts'
import { packPayloadSync } from '../src/payload.ts'

/* Any record that a writer of ours may produce, within small sizes; limits themselves are tested one by one. */

const safe = fc.maxSafeNat()
const uint32 = fc.nat({ max: 0xffff_ffff })
const sequence = fc.integer({ min: 1, max: 2 ** 52 })
const timeMs = fc.oneof(fc.nat(), fc.integer({ min: 1_600_000_000_000, max: 2_000_000_000_000 }))
const wallMs = fc.double({ min: 0, max: 4e12, noNaN: true })
const kafkaOffset = fc.bigInt({ min: 0n, max: (1n << 63n) - 1n })
const hex = (byteLength: number): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: byteLength, maxLength: byteLength })
    .map((bytes) => Buffer.from(bytes).toString('hex'))
const id = fc.string({ minLength: 1, maxLength: 20, unit: 'binary' })
const maybe = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value | null> =>
  fc.option(value, { nil: null })

const position: fc.Arbitrary<Position> = fc.record({
  generation: safe,
  generationId: hex(16),
  sequence: safe,
  chain: uint32,
})

const stamp = fc.record({ agentId: id, counter: safe })

const generation: fc.Arbitrary<Generation> = fc.record({
  number: safe,
  id: hex(16),
  ownerSite: id,
  reason: fc.constantFrom(...generationReasons),
  base: fc.oneof(
    fc.constant({ kind: 'none' as const }),
    fc.constant({ kind: 'full' as const }),
    position.map((at) => ({ kind: 'position' as const, position: at })),
  ),
  predecessor: maybe(position),
  stamp,
})

const place = { byteOffset: fc.nat({ max: 2 ** 31 - 1 }).map((n) => n * 4096), capturedAtMs: timeMs }

const mark: fc.Arbitrary<MarkEvent> = fc.oneof(
  fc.record({
    kind: fc.constant('recoveryPoint' as const),
    capturedAtMs: timeMs,
    cutId: hex(16),
    groupId: maybe(id),
    members: fc.array(id, { maxLength: 4 }),
    name: maybe(fc.string({ maxLength: 20 })),
    requestId: maybe(id),
    wallTimeMs: timeMs,
  }),
  fc.record({ kind: fc.constant('resyncDone' as const), capturedAtMs: timeMs }),
  fc.record({
    kind: fc.constant('digest' as const),
    capturedAtMs: timeMs,
    extents: fc.array(
      fc.record({
        byteOffset: place.byteOffset,
        byteLength: fc.integer({ min: 1, max: 262_144 }),
        sha256: hex(32),
      }),
      { maxLength: 16 },
    ),
  }),
  fc.record({ kind: fc.constant('geometry' as const), capturedAtMs: timeMs, sizeBytes: safe }),
)

/** A cut's mark lists the disk that carries it, and each member once. */
function carriedBy(diskId: string, event: MarkEvent | null): MarkEvent | null {
  if (event?.kind !== 'recoveryPoint') return event
  return { ...event, members: [...new Set([diskId, ...event.members])] }
}

/** An event, with its data when it is a write. */
const dataOrZero: fc.Arbitrary<{ event: StreamEvent; data: Buffer }> = fc.oneof(
  fc.record({ ...place, data: fc.uint8Array({ minLength: 1, maxLength: 64 }) }).map(({ data, ...at }) => ({
    event: { kind: 'write' as const, ...at, byteLength: data.length, dataCrc: crc32(data) },
    data: Buffer.from(data),
  })),
  fc
    .record({ ...place, byteLength: fc.integer({ min: 1, max: 2 ** 26 }), mayUnmap: fc.boolean() })
    .map((event) => ({ event: { kind: 'zero' as const, ...event }, data: Buffer.alloc(0) })),
)

const writeGroup: fc.Arbitrary<AnyRecord> = fc
  .record({
    head: fc.record({
      diskId: id,
      generation,
      resend: fc.boolean(),
      firstSequence: sequence,
      chainBefore: uint32,
      chainAfter: uint32,
    }),
    body: fc.array(dataOrZero, { minLength: 1, maxLength: 12 }),
    mark: maybe(mark),
  })
  .map(({ head, body, mark: drawn }) => {
    const last = carriedBy(head.diskId, drawn)
    const payload = Buffer.concat(body.map(({ data }) => data))
    const events = [...body.map(({ event }) => event), ...(last === null ? [] : [last])]
    return { kind: 'WriteGroup', record: { ...head, events, payloadCrc: crc32(payload), payload } }
  })

/** Disjoint, ascending extents: gaps and lengths, added up. */
const extents: fc.Arbitrary<SetExtent[]> = fc
  .array(
    fc.record({
      gap: fc.nat({ max: 2 ** 30 }),
      byteLength: fc.integer({ min: 1, max: 200 }),
      content: fc.constantFrom('data' as const, 'zero' as const),
      mayUnmap: fc.boolean(),
    }),
    { maxLength: 12 },
  )
  .map((pieces) => {
    let end = 0
    return pieces.map(({ gap, byteLength, content, mayUnmap }): SetExtent => {
      const byteOffset = end + gap
      end = byteOffset + byteLength
      return content === 'data'
        ? { kind: 'data', byteOffset, byteLength }
        : { kind: 'zero', byteOffset, byteLength, mayUnmap }
    })
  })

const updateSet: fc.Arbitrary<AnyRecord> = fc
  .record({
    head: fc.record({
      diskId: id,
      generation,
      chainBefore: uint32,
      firstCapturedAtMs: timeMs,
      lastCapturedAtMs: timeMs,
      rawBytes: safe,
      resumeInputOffset: kafkaOffset,
      mark: maybe(mark),
    }),
    extents,
    firstSequence: sequence,
    joints: fc.array(fc.record({ step: fc.integer({ min: 1, max: 1000 }), chain: uint32 }), {
      minLength: 1,
      maxLength: 8,
    }),
    filler: fc.nat({ max: 255 }),
  })
  .map(({ head, extents: within, firstSequence, joints: steps, filler }) => {
    let at = firstSequence - 1
    const joints = steps.map(({ step, chain }) => ({ sequence: (at += step), chain }))
    const parts = within
      .filter(({ kind }) => kind === 'data')
      .map((extent) => Buffer.alloc(extent.byteLength, filler))
    return {
      kind: 'UpdateSet',
      record: {
        ...head,
        mark: carriedBy(head.diskId, head.mark),
        firstSequence,
        lastSequence: at,
        chainAfter: joints.at(-1)?.chain ?? 0,
        joints,
        extents: within,
        ...packPayloadSync(parts),
      },
    }
  })

const heartbeat: fc.Arbitrary<AnyRecord> = fc
  .record({
    agentId: id,
    site: id,
    sourceTimeMs: wallMs,
    stamp,
    clockSkew: maybe(fc.record({ estimateMs: wallMs, errorMs: wallMs })),
    disks: fc.array(
      fc.record({
        diskId: id,
        state: fc.constantFrom(...tapStates),
        code: maybe(id),
        position: maybe(position),
        consistentAsOfMs: maybe(wallMs),
        spooledEvents: safe,
        spooledBytes: safe,
        oldestSpooledAtMs: maybe(wallMs),
        progress: maybe(
          fc.record({
            phase: fc.constantFrom('full-sync' as const, 'resync' as const),
            doneBytes: safe,
            totalBytes: safe,
            etaMs: maybe(wallMs),
          }),
        ),
      }),
      { maxLength: 4 },
    ),
    resumeInputOffset: maybe(kafkaOffset),
  })
  .map((record) => ({ kind: 'Heartbeat', record }))

const diskDescriptor: fc.Arbitrary<AnyRecord> = fc
  .record({
    diskId: id,
    formatVersion: safe,
    sizeBytes: safe,
    provisioning: fc.constantFrom(...provisionings),
    groupId: maybe(id),
    kafkaPartition: fc.nat(),
    ownerSite: id,
    generation: safe,
    generationId: hex(16),
  })
  .map((record) => ({ kind: 'DiskDescriptor', record }))

const ownership: fc.Arbitrary<AnyRecord> = fc
  .record({ diskId: id, generation })
  .map((record) => ({ kind: 'Ownership', record }))

const positionReport: fc.Arbitrary<AnyRecord> = fc
  .record({
    diskId: id,
    site: id,
    state: fc.constantFrom(...applierStates),
    code: maybe(id),
    received: maybe(position),
    applied: maybe(position),
    reportedAtMs: wallMs,
    echo: maybe(fc.record({ sourceTimeMs: wallMs, arrivedAtMs: wallMs })),
  })
  .map((record) => ({ kind: 'PositionReport', record }))

const streamRequest: fc.Arbitrary<AnyRecord> = fc
  .record({
    requestId: id,
    kind: fc.constantFrom(...requestKinds),
    diskId: id,
    expectedGeneration: safe,
    fromSequence: safe,
    reason: fc.string({ maxLength: 40 }),
    createdAtMs: wallMs,
    expiresAtMs: wallMs,
  })
  .map((record) => ({ kind: 'StreamRequest', record }))

export const arbitraries = {
  WriteGroup: writeGroup,
  UpdateSet: updateSet,
  Heartbeat: heartbeat,
  DiskDescriptor: diskDescriptor,
  Ownership: ownership,
  PositionReport: positionReport,
  StreamRequest: streamRequest,
} as const satisfies Record<AnyRecord['kind'], fc.Arbitrary<AnyRecord>>

export const anyRecord: fc.Arbitrary<AnyRecord> = fc.oneof(...Object.values(arbitraries))
