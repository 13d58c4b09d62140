import { kafkaClientNames } from './connect.ts'
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

/** A site's name, which is MirrorMaker's cluster alias and part of topic names. */
export function siteOption(fallback: string, doc: string) {
  return {
    kind: 'string',
    default: fallback,
    pattern: /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/,
    expected: 'a name of letters, digits, "-" and "_", at most 63',
    doc,
  } as const
}

/** Both names go into topic names: with one name for two sites, what is mirrored would be mirrored back. */
export const sitesDifferRule = {
  keys: ['site', 'peerSite'],
  expected: 'two different names',
  broken: (config: { readonly site: string; readonly peerSite: string }) => config.site === config.peerSite,
} as const

export const kafkaClientOption = {
  kind: 'enum',
  values: kafkaClientNames,
  default: 'platformatic',
  doc: 'The library that speaks to Kafka; both keep the same promises (ADR 9).',
} as const

export const topicPartitionsOption = {
  kind: 'integer',
  default: defaultTopicLimits.partitions,
  min: 1,
  max: 1000,
  unit: 'partitions',
  doc: 'Partitions of the topics writes and updates; the same at every service.',
} as const
