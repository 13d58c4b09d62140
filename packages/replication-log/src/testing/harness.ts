import type { OutgoingRecord, ReplicationLog, TopicPartition, TopicSpec } from '../replication-log.ts'

/** One cluster under test, and what a test may do to it. */
export interface ConformanceHarness extends AsyncDisposable {
  /** `impatient`: operations give up on an absent cluster within about a second; else within 30. */
  connect(
    clientId: string,
    options?: { readonly impatient?: boolean; readonly groupInstanceId?: string },
  ): Promise<ReplicationLog>
  deleteTopic(topic: string): Promise<void>
  /** kill -9 of every broker. What was acknowledged survives. */
  killBrokers(): Promise<void>
  startBrokers(): Promise<void>
  /** The next produce to the partition reaches its broker in half; then every broker is killed, and this resolves. */
  killBrokersInNextProduce(partition: TopicPartition): Promise<void>
  /** The next produce to the partition is appended, and its answer never arrives; a retry's does. */
  loseNextAcknowledgement(partition: TopicPartition): void
}

let topicsNamed = 0

/** A topic name no other test uses. */
export function freshTopic(): string {
  topicsNamed += 1
  return `conformance-${topicsNamed}`
}

export function specOf(topic: string, partitions = 1, config: Record<string, string> = {}): TopicSpec {
  return {
    topic,
    partitions,
    config: {
      'cleanup.policy': 'delete',
      'retention.ms': '86400000',
      'message.timestamp.type': 'LogAppendTime',
      'max.message.bytes': '1048576',
      ...config,
    },
  }
}

/** Records that carry consecutive numbers. */
export function numbered(first: number, count: number): readonly OutgoingRecord[] {
  return Array.from({ length: count }, (_, index) => ({
    key: Buffer.from('key'),
    value: Buffer.from(String(first + index)),
  }))
}

/** Consecutive numbers in records of this size: `Number` reads past the padding. */
export function numberedAndPadded(
  first: number,
  count: number,
  valueBytes: number,
): readonly OutgoingRecord[] {
  return numbered(first, count).map(({ key, value }) => ({
    key,
    value: Buffer.from(value.toString().padEnd(valueBytes)),
  }))
}

export interface ReadBack {
  readonly numbers: readonly number[]
  readonly kafkaOffsets: readonly bigint[]
}

/** Everything a partition holds now, by as many fetches as it takes. */
export async function readAll(log: ReplicationLog, partition: TopicPartition): Promise<ReadBack> {
  const { earliest, latest } = await log.offsets(partition)
  const numbers: number[] = []
  const kafkaOffsets: bigint[] = []
  for (let kafkaOffset = earliest; kafkaOffset < latest;) {
    const [outcome] = await log.fetch(fetchOf([{ ...partition, kafkaOffset }]))
    if (outcome?.kind !== 'records') throw new Error(`cannot read back: ${outcome?.kind ?? 'nothing'}`)
    for (const record of outcome.records) {
      numbers.push(Number(record.value.toString()))
      kafkaOffsets.push(record.kafkaOffset)
    }
    kafkaOffset = outcome.nextKafkaOffset
  }
  return { numbers, kafkaOffsets }
}

/** A fetch with room for everything these tests write. */
export function fetchOf(
  positions: readonly (TopicPartition & { readonly kafkaOffset: bigint })[],
  waitMsMax = 2_000,
): Parameters<ReplicationLog['fetch']>[0] {
  return { positions, waitMsMax, partitionBytesMax: 1_048_576, bytesMax: 4_194_304 }
}
