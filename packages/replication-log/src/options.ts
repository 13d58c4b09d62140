import { defaultTopicLimits } from './topics.ts'

/*
 * What every service that speaks to Kafka is told the same way; `as const`, so that a table of options
 * that takes them in keeps their exact types.
 */

/** The brokers a service starts from; `whose` completes "Brokers of …". */
export function kafkaBrokersOption(whose: string) {
  return {
    kind: 'list',
    itemsMin: 1,
    expected: 'broker addresses HOST:PORT',
    pattern: /^.+:\d+$/,
    doc: `Brokers of ${whose}.`,
  } as const
}

export const topicPartitionsOption = {
  kind: 'integer',
  default: defaultTopicLimits.partitions,
  min: 1,
  max: 1000,
  unit: 'partitions',
  doc: 'Partitions of the topics writes and updates; the same at every service.',
} as const
