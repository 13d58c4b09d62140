import type { KafkaClientName } from '@blockferry/replication-log'
import { formatAddress, type Address } from '@blockferry/runtime/service'
import type { ChildSpec } from '@blockferry/supervision'
import type { LabPaths } from './lab-directory.ts'
import type { LabDisk } from './lab-disk.ts'
import { nodeProcess } from './node-process.ts'
import type { LabPorts } from './ports.ts'

const host = '127.0.0.1'

/**
 * Memory that is given back. glibc keeps an arena per thread and returns large freed blocks late; V8 frees the
 * buffers behind short-lived views only when it scavenges, so a small young generation means tens of MiB
 * less of them (figures in docs/adr/0007-memory-and-io-threads.md).
 */
const leanMemory = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_MMAP_THRESHOLD_: '262144',
  NODE_OPTIONS: '--max-semi-space-size=4',
}

export interface ServiceSetup {
  readonly ports: LabPorts
  readonly paths: LabPaths
  readonly disks: readonly LabDisk[]
  readonly nbdListen: Address | null
  readonly kafkaClient: KafkaClientName | null
}

/** The link, between MirrorMaker and Kafka A's second listener. */
export function wanProcess(ports: LabPorts, bytesPerSecond: number | null): ChildSpec {
  return nodeProcess({
    name: 'wan',
    main: 'cli/src/wan/main.ts',
    settings: {
      LISTEN: `${host}:${ports.wan}`,
      TARGET: `${host}:${ports.kafkaAWan}`,
      HTTP_LISTEN: `${host}:${ports.wanHttp}`,
      BYTES_PER_SECOND: bytesPerSecond,
    },
  })
}

/** The three services, each configured by its environment alone, as an operator would. */
export function serviceProcesses(setup: ServiceSetup): readonly ChildSpec[] {
  return [tapAgentProcess(setup), aggregatorProcess(setup), applierProcess(setup)]
}

function tapAgentProcess({ disks, kafkaClient, nbdListen, paths, ports }: ServiceSetup): ChildSpec {
  return nodeProcess({
    name: 'tap-agent',
    main: 'services/tap-agent/src/main.ts',
    settings: {
      SITE: 'site-a',
      PEER_SITE: 'site-b',
      KAFKA_BROKERS: `${host}:${ports.kafkaA}`,
      KAFKA_CLIENT: kafkaClient,
      STATE_DIRECTORY: paths.tapState,
      DISKS: disks.map(tapDisk).join(';'),
      NBD_SOCKET: paths.nbdSocket,
      NBD_LISTEN: nbdListen === null ? null : formatAddress(nbdListen),
      HTTP_LISTEN: `${host}:${ports.tapHttp}`,
    },
    // Disk I/O shares libuv's pool, whose size is fixed before any JavaScript runs.
    environment: { ...leanMemory, UV_THREADPOOL_SIZE: '16' },
  })
}

function tapDisk(disk: LabDisk): string {
  const group = disk.groupId === null ? '' : `,group=${disk.groupId}`
  return `id=${disk.id},source=${disk.source}${group}`
}

function aggregatorProcess({ kafkaClient, ports }: ServiceSetup): ChildSpec {
  return nodeProcess({
    name: 'aggregator',
    main: 'services/aggregator/src/main.ts',
    settings: {
      SITE: 'site-a',
      PEER_SITE: 'site-b',
      KAFKA_BROKERS: `${host}:${ports.kafkaA}`,
      KAFKA_CLIENT: kafkaClient,
      // A restarted aggregator has its partitions back at once, not after its dead self's session.
      GROUP_INSTANCE_ID: 'blockferry-lab',
      HTTP_LISTEN: `${host}:${ports.aggregatorHttp}`,
    },
    environment: leanMemory,
  })
}

function applierProcess({ disks, kafkaClient, paths, ports }: ServiceSetup): ChildSpec {
  return nodeProcess({
    name: 'applier',
    main: 'services/applier/src/main.ts',
    settings: {
      SITE: 'site-b',
      PEER_SITE: 'site-a',
      KAFKA_BROKERS: `${host}:${ports.kafkaB}`,
      KAFKA_CLIENT: kafkaClient,
      STATE_DIRECTORY: paths.applierState,
      DISKS: disks.map(({ id, target }) => `id=${id},target=${target}`).join(';'),
      HTTP_LISTEN: `${host}:${ports.applierHttp}`,
    },
    environment: leanMemory,
  })
}
