import { codeOf, MiB } from '@blockferry/runtime'
import { connectReplicationLog, type FetchedRecord, type ReplicationLog } from '@blockferry/replication-log'
import { decodeRecord, describeRecord } from '@blockferry/schemas'
import { fault } from './faults.ts'

export interface InspectRequest {
  readonly broker: string
  readonly topic: string
  /** Null: all. */
  readonly kafkaPartition: number | null
  /** `latest` shows the newest `limit` records of each partition. */
  readonly from: 'earliest' | 'latest' | bigint
  readonly limit: number
  readonly json: boolean
}

/** Partitions are read one after another, so that records come in their order. @throws UNKNOWN_TOPIC_TO_INSPECT */
export async function inspectTopic(request: InspectRequest, print: (text: string) => void): Promise<void> {
  await using log = await connectReplicationLog({
    brokers: [request.broker],
    clientId: 'blockferry-topic-inspect',
  })
  const description = await log.describeTopic(request.topic)
  if (description === null) {
    throw fault('UNKNOWN_TOPIC_TO_INSPECT', `${request.broker} has no topic ${request.topic}`)
  }
  const all = Array.from({ length: description.partitions }, (_, kafkaPartition) => kafkaPartition)
  const wanted = request.kafkaPartition === null ? all : [request.kafkaPartition]
  let left = request.limit
  for (const kafkaPartition of wanted) {
    if (left > 0) left -= await inspectPartition(log, { ...request, kafkaPartition, limit: left }, print)
  }
}

async function inspectPartition(
  log: ReplicationLog,
  request: InspectRequest & { readonly kafkaPartition: number },
  print: (text: string) => void,
): Promise<number> {
  const { kafkaPartition, topic } = request
  const range = await log.offsets({ topic, kafkaPartition })
  let kafkaOffset = startOffset(request, range)
  let shown = 0
  while (kafkaOffset < range.latest && shown < request.limit) {
    const [outcome] = await log.fetch({
      positions: [{ topic, kafkaPartition, kafkaOffset }],
      waitMsMax: 1_000,
      partitionBytesMax: 4 * MiB,
      bytesMax: 16 * MiB,
    })
    if (outcome?.kind === 'failed') throw outcome.cause
    if (outcome?.kind !== 'records') return shown
    for (const record of outcome.records) {
      if (shown >= request.limit) return shown
      print(recordText({ kafkaPartition, record, json: request.json }))
      shown += 1
    }
    kafkaOffset = outcome.nextKafkaOffset
  }
  return shown
}

function startOffset(
  request: InspectRequest,
  range: { readonly earliest: bigint; readonly latest: bigint },
): bigint {
  const { from, limit } = request
  if (from === 'earliest') return range.earliest
  const asked = from === 'latest' ? range.latest - BigInt(limit) : from
  return asked > range.earliest ? asked : range.earliest
}

interface ShownRecord {
  readonly kafkaPartition: number
  readonly record: FetchedRecord
  readonly json: boolean
}

function recordText({ kafkaPartition, record, json }: ShownRecord): string {
  const place = {
    kafkaPartition,
    kafkaOffset: String(record.kafkaOffset),
    time: new Date(record.timestampMs).toISOString(),
    key: record.key?.toString() ?? null,
  }
  const content = describeValue(record.value)
  if (json) return `${JSON.stringify({ ...place, ...content })}\n`
  const { kind, ...facts } = content
  const head = `${kafkaPartition}/${place.kafkaOffset}  ${place.time}  ${place.key ?? '–'}  ${String(kind)}`
  return `${head}\n    ${Object.entries(facts).map(factText).join('  ')}\n`
}

function factText([name, value]: readonly [string, unknown]): string {
  return `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`
}

/** A record that cannot be decoded is shown with the code that refused it: that is what one looks for here. */
function describeValue(value: Buffer): Readonly<Record<string, unknown>> {
  try {
    return describeRecord(decodeRecord(value))
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return { kind: 'UNREADABLE', code: codeOf(error), message, bytes: value.byteLength }
  }
}
