import {
  kafkaBrokersOption,
  kafkaClientOption,
  siteOption,
  sitesDifferRule,
  topicPartitionsOption,
} from '@blockferry/replication-log'
import { GiB, KiB, MiB } from '@blockferry/runtime'
import {
  commonOptions,
  type ConfigOf,
  defineOptions,
  defineRules,
  listensTwice,
  waitForRepairOption,
} from '@blockferry/runtime/service'
import { parseDiskList } from './disk-list.ts'

/** Every setting of the tap agent: parsed, shown by --help and documented from here. */
export const options = defineOptions({
  ...commonOptions,
  site: siteOption('site-a', 'Name of this site.'),
  peerSite: siteOption('site-b', 'Name of the other site.'),
  kafkaBrokers: kafkaBrokersOption('this site'),
  kafkaClient: kafkaClientOption,
  topicPartitions: topicPartitionsOption,
  stateDirectory: {
    kind: 'string',
    doc: 'Spools, control slots and the stamp live here; one agent per directory.',
  },
  waitForRepair: waitForRepairOption,
  disks: {
    kind: 'list',
    separator: ';',
    itemsMin: 1,
    expected:
      'disks id=vda,source=/path/vda.raw[,size=1G][,provisioning=thin|thick-lazy|thick-eager][,group=NAME]',
    doc: 'The disks, or the same as a JSON array of objects. With size= a missing source is created, sparse.',
  },
  nbdSocket: { kind: 'string', default: null, doc: 'Unix socket on which the disks are served over NBD.' },
  nbdListen: {
    kind: 'address',
    default: null,
    doc: 'Address on which the disks are served over NBD as well.',
  },
  nbdConnectionsMax: {
    kind: 'integer',
    default: 256,
    min: 1,
    max: 65_536,
    unit: 'connections',
    doc: 'Most NBD connections at once; one more is closed at once.',
  },
  nbdInFlightBytesMax: {
    kind: 'integer',
    default: 32 * MiB,
    min: 32 * MiB,
    // A request counts 4 KiB at least, and a disk's extent lock has a limit of its own.
    max: 256 * MiB,
    unit: 'bytes',
    doc: 'Payload in flight over all connections; at the limit sockets are not read.',
  },
  httpListen: { kind: 'address', default: '127.0.0.1:0', doc: 'Where health, metrics and /v1 are served.' },
  spoolBytesMax: {
    kind: 'integer',
    default: 4 * GiB,
    min: 64 * MiB,
    max: 1024 * GiB,
    unit: 'bytes',
    doc: 'Spool of one disk; at the limit it goes AHEAD and is synchronised anew later.',
  },
  spoolVolumeShare: {
    kind: 'integer',
    default: 50,
    min: 5,
    max: 95,
    unit: '%',
    doc: 'Share of the state directory\u2019s volume that all spools together may take; above half of it the oldest segments go that Kafka acknowledged, at it a disk that grows goes AHEAD.',
  },
  cutIntervalMs: {
    kind: 'integer',
    default: 1_000,
    min: 0,
    max: 3_600_000,
    unit: 'ms',
    doc: 'Time between automatic recovery points while something is written; 0: only on demand.',
  },
  shipBatchBytesMax: {
    kind: 'integer',
    default: 2 * MiB,
    min: 64 * KiB,
    max: 3 * MiB,
    unit: 'bytes',
    doc: 'Largest batch sent to one Kafka partition.',
  },
  shipLingerMs: {
    kind: 'integer',
    default: 5,
    min: 0,
    max: 1_000,
    unit: 'ms',
    doc: 'How long a small batch waits for company before it is sent.',
  },
})

/** What the settings must keep between them. */
export const rules = defineRules(options, [
  sitesDifferRule,
  {
    keys: ['disks'],
    expected: 'each disk well formed, each id once, each source once',
    broken: ({ disks }) => parseDiskList(disks).faults,
  },
  {
    keys: ['nbdSocket', 'nbdListen'],
    expected: 'at least one of them, else nobody can reach the disks',
    broken: ({ nbdListen, nbdSocket }) => nbdListen === null && nbdSocket === null,
  },
  {
    keys: ['nbdListen', 'httpListen'],
    expected: 'two different ports',
    broken: ({ httpListen, nbdListen }) => nbdListen !== null && listensTwice(nbdListen, httpListen),
  },
])

export type TapAgentConfig = ConfigOf<typeof options>
