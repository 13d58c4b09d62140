import { GiB, KiB, MiB } from '@blockferry/runtime'
import {
  commonOptions,
  type ConfigOf,
  defineOptions,
  defineRules,
  type RuleFault,
  waitForRepairOption,
} from '@blockferry/runtime/service'
import {
  kafkaBrokersOption,
  kafkaClientOption,
  siteOption,
  sitesDifferRule,
  topicPartitionsOption,
} from '@blockferry/replication-log'
import { defaultApplierOptions as defaults } from './options.ts'

/** Every setting of the applier: parsed, shown by --help and documented from here. */
export const options = defineOptions({
  ...commonOptions,
  kafkaBrokers: kafkaBrokersOption('the target site'),
  kafkaClient: kafkaClientOption,
  site: siteOption(defaults.site, 'Name of this site.'),
  peerSite: siteOption(defaults.peerSite, 'Name of the site whose disks are applied here.'),
  stateDirectory: {
    kind: 'string',
    doc: 'Redo journal, checkpoint and recovery point index; one applier each.',
  },
  waitForRepair: waitForRepairOption,
  disks: {
    kind: 'list',
    default: [],
    separator: ';',
    pattern: /^id=[^,;=]+,target=[^;]+$/,
    expected: 'id=DISK,target=PATH',
    doc: 'Target images of disks that have a path of their own.',
  },
  targetDirectory: {
    kind: 'string',
    default: null,
    doc: 'Every other disk that is described gets DIRECTORY/<disk>.raw; without it, none.',
  },
  httpListen: {
    kind: 'address',
    default: '127.0.0.1:0',
    doc: 'Where /v1, the live page, health and metrics are served.',
  },
  topicPartitions: topicPartitionsOption,
  journalBytesMax: {
    kind: 'integer',
    default: defaults.journalBytesMax,
    min: 128 * MiB,
    max: 1024 * GiB,
    unit: 'bytes',
    doc: 'Redo journal of all disks together; at the limit nothing more is acknowledged.',
  },
  journalDiskBytesMax: {
    kind: 'integer',
    default: null,
    min: 16 * MiB,
    max: 1024 * GiB,
    unit: 'bytes',
    doc: "One disk's share of the redo journal; what exceeds it stays in Kafka until there is room; none: 2 GiB, or all of a smaller journal.",
  },
  journalSegmentBytes: {
    kind: 'integer',
    default: 64 * MiB,
    min: 16 * MiB,
    max: 1 * GiB,
    unit: 'bytes',
    doc: 'The redo journal is allocated and given back in pieces of this size.',
  },
  checkpointBytesMax: {
    kind: 'integer',
    default: defaults.checkpointBytesMax,
    min: 512 * KiB,
    max: 64 * MiB,
    unit: 'bytes',
    doc: 'Room for the checkpoint of all disks, kept twice: about 1 KB a disk. It grows at a restart and never shrinks.',
  },
  applyIntervalMs: {
    kind: 'integer',
    default: defaults.applyIntervalMs,
    min: 10,
    max: 60_000,
    unit: 'ms',
    doc: 'Least time between two rounds of writing to the same image.',
  },
  applyBytesMax: {
    kind: 'integer',
    default: defaults.applyBytesMax,
    min: 16 * MiB,
    max: 8 * GiB,
    unit: 'bytes',
    doc: 'Journal that one round writes to an image.',
  },
  fetchBytesMax: {
    kind: 'integer',
    default: defaults.fetchBytesMax,
    min: 64 * KiB,
    max: 256 * MiB,
    unit: 'bytes',
    doc: 'Most bytes of one fetch over all partitions.',
  },
  resendDeadlineMs: {
    kind: 'integer',
    default: defaults.resendDeadlineMs,
    min: 1_000,
    max: 3_600_000,
    unit: 'ms',
    doc: 'How long the source may take to send missing events again before a full resync is asked for.',
  },
  recoveryPointsMax: {
    kind: 'integer',
    default: defaults.recoveryPointsMax,
    min: 100,
    max: 1_000_000,
    unit: 'points',
    doc: 'Recovery points kept in the index; the oldest go first.',
  },
})

/** What the settings must keep between them. */
export const rules = defineRules(options, [
  sitesDifferRule,
  {
    keys: ['disks'],
    expected: 'each disk once, each target once',
    broken: ({ disks }) => repeatedTargets(disks),
  },
  {
    keys: ['disks', 'targetDirectory'],
    expected: 'at least one of them, else no disk has a target',
    broken: ({ disks, targetDirectory }) => disks.length === 0 && targetDirectory === null,
  },
  {
    keys: ['journalDiskBytesMax', 'journalBytesMax'],
    expected: 'journalDiskBytesMax of at most journalBytesMax: a share is no more than the whole',
    broken: ({ journalBytesMax, journalDiskBytesMax }) =>
      journalDiskBytesMax !== null && journalDiskBytesMax > journalBytesMax,
  },
  {
    keys: ['journalSegmentBytes', 'journalBytesMax'],
    expected:
      'journalSegmentBytes of at most half of journalBytesMax: one piece is written while one is given back',
    broken: ({ journalBytesMax, journalSegmentBytes }) => journalSegmentBytes * 2 > journalBytesMax,
  },
])

function repeatedTargets(disks: readonly string[]): readonly RuleFault[] {
  const faults: RuleFault[] = []
  const seen = new Set<string>()
  for (const item of disks) {
    for (const part of Object.values(partsOf(item))) {
      if (seen.has(part)) faults.push({ value: part, expected: 'each disk once, each target once' })
      seen.add(part)
    }
  }
  return faults
}

export type ApplierConfig = ConfigOf<typeof options>

/** `id=DISK,target=PATH` items as a map. */
export function targetPaths(disks: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    disks.map((item) => {
      const { id, target } = partsOf(item)
      return [id.slice('id='.length), target.slice('target='.length)]
    }),
  )
}

function partsOf(item: string): { readonly id: string; readonly target: string } {
  const comma = item.indexOf(',target=')
  return { id: item.slice(0, comma), target: item.slice(comma + 1) }
}
