import {
  kafkaBrokersOption,
  kafkaClientOption,
  siteOption,
  sitesDifferRule,
  topicPartitionsOption,
} from '@blockferry/replication-log'
import { GiB, MiB } from '@blockferry/runtime'
import { commonOptions, type ConfigOf, defineOptions, defineRules } from '@blockferry/runtime/service'

/** Every setting of the mirror-maker: parsed, shown by --help and documented from here. */
export const options = defineOptions({
  ...commonOptions,
  kafkaBrokers: kafkaBrokersOption('this site, the target'),
  peerKafkaBrokers: kafkaBrokersOption('the other site, as they are reached over the WAN'),
  kafkaClient: kafkaClientOption,
  site: siteOption('site-b', 'Name of this site, where MirrorMaker belongs.'),
  peerSite: siteOption('site-a', 'Name of the site whose updates are carried here.'),
  httpListen: {
    kind: 'address',
    default: '127.0.0.1:0',
    doc: 'Where health, metrics and /v1 are served.',
  },
  topicPartitions: topicPartitionsOption,
  kafkaLibs: {
    kind: 'string',
    default: '/opt/kafka/libs',
    doc: 'Directory of Kafka’s jars: libs of an unpacked Kafka.',
  },
  javaCommand: { kind: 'string', default: 'java', doc: 'The Java program, by name or path.' },
  workDirectory: {
    kind: 'string',
    default: null,
    doc: 'MirrorMaker’s properties are written in a directory of their own here; none: where temporary files go.',
  },
  heapBytesInitial: {
    kind: 'integer',
    default: 128 * MiB,
    min: 64 * MiB,
    max: 64 * GiB,
    unit: 'bytes',
    doc: 'Heap with which MirrorMaker starts.',
  },
  heapBytesMax: {
    kind: 'integer',
    default: 640 * MiB,
    min: 256 * MiB,
    max: 64 * GiB,
    unit: 'bytes',
    doc: 'Largest heap of MirrorMaker; out of memory it ends and is started anew.',
  },
  tasksMax: {
    kind: 'integer',
    default: 2,
    min: 1,
    max: 64,
    unit: 'tasks',
    doc: 'Tasks of one flow; more than partitions are of no use.',
  },
  replicationFactor: {
    kind: 'integer',
    default: 1,
    min: 1,
    max: 9,
    unit: 'replicas',
    doc: 'Replicas of MirrorMaker’s own topics; 3 on a cluster of three brokers or more.',
  },
})

/** What the settings must keep between them. */
export const rules = defineRules(options, [
  sitesDifferRule,
  {
    keys: ['kafkaBrokers', 'peerKafkaBrokers'],
    expected: 'brokers of two clusters: a cluster is not mirrored into itself',
    broken: ({ kafkaBrokers, peerKafkaBrokers }) =>
      kafkaBrokers.some((broker) => peerKafkaBrokers.includes(broker)),
  },
  {
    keys: ['heapBytesInitial', 'heapBytesMax'],
    expected: 'heapBytesInitial of at most heapBytesMax',
    broken: ({ heapBytesInitial, heapBytesMax }) => heapBytesInitial > heapBytesMax,
  },
])

export type MirrorMakerConfig = ConfigOf<typeof options>
