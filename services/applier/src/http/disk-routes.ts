import { type HttpEdge, problemResponses } from '@blockferry/runtime/service'
import type { Position } from '@blockferry/disk-stream'
import type { Applier } from '../applier.ts'
import type { Disk } from '../disk/disk.ts'
import { isOpenable, stateOf } from '../disk/disk-state.ts'
import { applierFault } from '../faults.ts'

const nullable = (schema: object): object => ({ anyOf: [schema, { type: 'null' }] })
const text = nullable({ type: 'string' })
const integer = nullable({ type: 'integer' })

const position = nullable({
  type: 'object',
  required: ['generation', 'generationId', 'sequence', 'chain'],
  properties: {
    generation: { type: 'integer' },
    generationId: { type: 'string' },
    sequence: { type: 'integer' },
    chain: { type: 'integer' },
  },
})

const diskSchema = {
  type: 'object',
  required: ['diskId', 'state', 'received', 'applied', 'target'],
  properties: {
    diskId: { type: 'string' },
    groupId: text,
    state: { type: 'string' },
    code: text,
    nextCommand: text,
    message: text,
    openable: { type: 'boolean' },
    sizeBytes: integer,
    provisioning: text,
    ownerSite: text,
    kafkaPartition: integer,
    target: text,
    allocatedBytes: integer,
    received: position,
    applied: position,
    journalBytes: { type: 'integer' },
    journalFrames: { type: 'integer' },
    parked: text,
    newestRecoveryPoint: text,
  },
} as const

/** A disk for people: where it is, how far it is, what stands in its way. */
async function describe(applier: Applier, disk: Disk): Promise<Readonly<Record<string, unknown>>> {
  const { descriptor, image } = disk
  const place = (at: Position | null): Position | null => at
  return {
    diskId: disk.diskId,
    groupId: disk.groupId,
    ...stateOf(disk),
    message: disk.halt?.message ?? null,
    openable: isOpenable(disk),
    sizeBytes: descriptor?.sizeBytes ?? null,
    provisioning: descriptor?.provisioning ?? null,
    ownerSite: disk.owner?.ownerSite ?? null,
    kafkaPartition: disk.kafkaPartition ?? descriptor?.kafkaPartition ?? null,
    target: image?.path ?? applier.targetPathOf(disk.diskId),
    allocatedBytes: image === null ? null : await image.device.allocatedBytes(),
    received: place(disk.received.applied),
    applied: place(disk.applied.applied),
    journalBytes: disk.frames.bytes,
    journalFrames: disk.frames.length,
    parked: disk.parked?.reason ?? null,
    newestRecoveryPoint: applier.volume.index.newestOf(disk.diskId)?.cutId ?? null,
  }
}

export function serveDisks(edge: HttpEdge, applier: Applier): void {
  edge.get(
    '/v1/disks',
    {
      schema: {
        summary: 'The disks that are replicated to this site.',
        response: {
          200: {
            type: 'object',
            required: ['disks'],
            properties: { disks: { type: 'array', items: diskSchema } },
          },
        },
      },
    },
    async () => {
      const disks = [...applier.volume.disks.values()].toSorted((a, b) => (a.diskId < b.diskId ? -1 : 1))
      return { disks: await Promise.all(disks.map((disk) => describe(applier, disk))) }
    },
  )
  edge.route<{ Params: { id: string } }>({
    method: 'GET',
    url: '/v1/disks/:id',
    schema: {
      summary: 'One disk.',
      params: { type: 'object', required: ['id'], properties: { id: { type: 'string' } } },
      response: { 200: diskSchema, ...problemResponses({ 404: 'UNKNOWN_DISK' }) },
    },
    handler: async (request) => {
      const disk = applier.volume.disks.get(request.params.id)
      if (disk === undefined) throw applierFault('UNKNOWN_DISK', `no disk ${request.params.id} here`)
      return describe(applier, disk)
    },
  })
}
