import {
  kafkaBrokersOption,
  kafkaClientOption,
  siteOption,
  sitesDifferRule,
  topicPartitionsOption,
} from '@blockferry/replication-log'
import { GiB, KiB, MiB } from '@blockferry/runtime'
import { commonOptions, type ConfigOf, defineOptions, defineRules } from '@blockferry/runtime/service'
import { defaultAggregatorOptions as defaults } from './defaults.ts'

/** Every setting of the aggregator: parsed, shown by --help and documented from here. */
export const options = defineOptions({
  ...commonOptions,
  kafkaBrokers: kafkaBrokersOption('the source site'),
  kafkaClient: kafkaClientOption,
  site: siteOption('site-a', 'Name of this site.'),
  peerSite: siteOption('site-b', 'Name of the other site.'),
  httpListen: { kind: 'address', default: '127.0.0.1:0', doc: 'Where health, metrics and /v1 are served.' },
  groupInstanceId: {
    kind: 'string',
    default: null,
    doc: 'A name that outlives the process: restarted, it has its partitions back at once. Two of one name take turns of a minute, and say so (GROUP_MEMBER_FENCED).',
  },
  topicPartitions: topicPartitionsOption,
  windowMs: {
    kind: 'integer',
    default: defaults.windowAgeMsMax,
    min: 1,
    max: 60_000,
    unit: 'ms',
    doc: 'Longest a window stays open; longer means fewer bytes to the other site and more delay.',
  },
  foldingBytesMax: {
    kind: 'integer',
    default: defaults.foldingBytesMax,
    min: 16 * MiB,
    max: 64 * GiB,
    unit: 'bytes',
    doc: 'Held in windows and on the way to Kafka by this process; at the limit reading pauses.',
  },
  queuedBytesMax: {
    kind: 'integer',
    default: defaults.queuedBytesMax,
    min: 4 * MiB,
    max: 64 * GiB,
    unit: 'bytes',
    doc: 'Waiting for one output partition; at the limit its input is not read.',
  },
  fetchBytesMax: {
    kind: 'integer',
    default: defaults.fetchBytesMax,
    min: 64 * KiB,
    max: 256 * MiB,
    unit: 'bytes',
    doc: 'Most bytes of one fetch over all partitions.',
  },
})

/** What the settings must keep between them. */
export const rules = defineRules(options, [
  sitesDifferRule,
  {
    keys: ['queuedBytesMax', 'foldingBytesMax'],
    expected: 'queuedBytesMax of at most foldingBytesMax, which counts what is queued too',
    broken: ({ foldingBytesMax, queuedBytesMax }) => queuedBytesMax > foldingBytesMax,
  },
  {
    keys: ['fetchBytesMax', 'foldingBytesMax'],
    expected: 'fetchBytesMax of at most foldingBytesMax, else one fetch exceeds what may be held',
    broken: ({ fetchBytesMax, foldingBytesMax }) => fetchBytesMax > foldingBytesMax,
  },
])

export type AggregatorConfig = ConfigOf<typeof options>
