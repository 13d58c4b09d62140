import type { HttpEdge } from '@blockferry/runtime/service'
import type { AggregatorStatus } from '../aggregator.ts'
import type { PartitionProgress } from '../partition-progress.ts'
import { partitionStates } from '../partition-progress.ts'

const nullable = (type: string): object => ({ anyOf: [{ type }, { type: 'null' }] })

const partitionSchema = {
  type: 'object',
  required: ['kafkaPartition', 'state', 'inputOffset', 'backlogRecords', 'resumeInputOffset'],
  properties: {
    kafkaPartition: { type: 'integer' },
    state: { type: 'string', enum: partitionStates },
    code: nullable('string'),
    nextCommand: nullable('string'),
    inputOffset: { ...nullable('string'), description: 'Next offset of the raw writes to be read.' },
    backlogRecords: nullable('integer'),
    backlogAgeMs: { type: 'number' },
    resumeInputOffset: { ...nullable('string'), description: 'Where a successor would resume.' },
    disks: { type: 'integer' },
    openWindows: { type: 'integer' },
    windowBytes: { type: 'integer' },
    queuedBytes: { type: 'integer' },
    passedOver: { type: 'integer' },
  },
} as const

/** `GET /v1/partitions`: how each assigned partition stands. */
export function servePartitions(edge: HttpEdge, status: () => AggregatorStatus): void {
  const response = {
    200: {
      type: 'object',
      required: ['partitions', 'heldBytes'],
      properties: {
        code: nullable('string'),
        why: nullable('string'),
        heldBytes: { type: 'integer' },
        partitions: { type: 'array', items: partitionSchema },
      },
    },
  }
  edge.get(
    '/v1/partitions',
    { schema: { summary: 'The partitions of this member.', response } },
    async () => {
      const { partitions, ...own } = status()
      const sorted = partitions.toSorted((a, b) => a.kafkaPartition - b.kafkaPartition)
      return { ...own, partitions: sorted.map(plain) }
    },
  )
}

/** Kafka offsets as decimal strings: JSON numbers end at 2^53. */
function plain(partition: PartitionProgress): object {
  return {
    ...partition,
    inputOffset: partition.inputOffset?.toString() ?? null,
    resumeInputOffset: partition.resumeInputOffset?.toString() ?? null,
  }
}
