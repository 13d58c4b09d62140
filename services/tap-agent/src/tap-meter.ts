import type { NbdObserver, NbdServer } from '@blockferry/nbd'
import { tapStates } from '@blockferry/disk-stream'
import { codeOf, explanationOf } from '@blockferry/runtime'
import type { Logger, Metrics } from '@blockferry/runtime/service'
import type { TapAgent, TapAgentDeps } from './agent/tap-agent.ts'
import { catalogue } from './error-catalogue.ts'
import type { ShipperThread } from './shipper-thread.ts'

/** Logs and Prometheus figures of the agent. */
export interface TapMeter {
  readonly disks: NonNullable<TapAgentDeps['observer']>
  readonly nbd: NbdObserver
  watch(agent: TapAgent, shipper: ShipperThread): void
  watchNbd(nbd: NbdServer): void
}

interface RequestFigures {
  readonly seconds: { observe(value: number): void }
  readonly bytes: { inc(value: number): void }
}

const latencyBuckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5]

export function createTapMeter(metrics: Metrics, logger: Logger): TapMeter {
  return {
    disks: diskObserver(metrics, logger),
    nbd: nbdObserver(metrics, logger),
    watch: (agent, shipper) => watchDisks(metrics, agent, shipper),
    watchNbd: (nbd) => {
      collected(metrics, { name: 'tap_nbd_connections', help: 'NBD connections.' }, () => nbd.connections)
      const inFlight = { name: 'tap_nbd_in_flight_bytes', help: 'Payload of NBD requests in flight.' }
      collected(metrics, inFlight, () => nbd.inFlightBytes)
    },
  }
}

function diskObserver(metrics: Metrics, logger: Logger): TapMeter['disks'] {
  const cuts = metrics.counter('tap_recovery_points_total', 'Recovery points numbered.', ['outcome'])
  const readBacks = metrics.counter('tap_in_doubt_extents_total', 'Extents read back at start (S5).', [
    'disk',
  ])
  const resyncs = metrics.counter('tap_resyncs_total', 'Generations begun with a full sync.', ['disk'])
  const appends = metrics.histogram({
    name: 'tap_spool_append_seconds',
    help: 'From the call of an append to its completion, all disks.',
    buckets: latencyBuckets,
  })
  const troubles = metrics.counter('tap_troubles_total', 'Errors that were dealt with.', ['code'])
  return {
    stateChanged: ({ code, diskId, state }) => {
      const fields = { event: 'state', diskId, state, code }
      if (code === null) logger.info(fields, `disk ${diskId} is ${state}`)
      else logger.warn(fields, `disk ${diskId} is ${state} (${code})`)
    },
    readBack(diskId, extents) {
      readBacks.inc({ disk: diskId }, extents)
      logger.info({ event: 'read-back', diskId, extents }, `disk ${diskId}: ${extents} extents read back`)
    },
    resyncBegan(diskId, { number, reason }) {
      resyncs.inc({ disk: diskId })
      logger.info({ event: 'resync-began', diskId, generation: number, reason }, `disk ${diskId}: full sync`)
    },
    resyncDone: (diskId) => logger.info({ event: 'resync-done', diskId }, `disk ${diskId}: full sync done`),
    appended: (durationMs) => appends.observe(durationMs / 1000),
    trouble(diskId, error) {
      troubles.inc({ code: codeOf(error) })
      logger.warn({ event: 'trouble', diskId, err: error }, explanationOf(error))
    },
    cut: (_point, isWhole) => cuts.inc({ outcome: isWhole ? 'whole' : 'void' }),
    diskOpened: (diskId) => logger.info({ event: 'disk-opened', diskId }, `disk ${diskId} is served`),
    diskRefused: (refused) =>
      logger.error(
        { event: 'disk-refused', ...refused },
        `disk ${refused.diskId} is not served: ${refused.message}`,
      ),
  }
}

function nbdObserver(metrics: Metrics, logger: Logger): NbdObserver {
  const closed = metrics.counter('tap_nbd_connections_closed_total', 'NBD connections closed.', ['reason'])
  const seconds = metrics.histogram({
    name: 'tap_nbd_request_seconds',
    help: 'From the request’s header to its reply.',
    labels: ['command'],
    buckets: latencyBuckets,
  })
  const bytes = metrics.counter('tap_nbd_bytes_total', 'Bytes of NBD requests answered.', ['command'])
  const errors = metrics.counter('tap_nbd_errors_total', 'NBD requests answered with an error.', ['command'])
  // Bound once per command: a look-up by labels for each request costs more than the observation.
  const perCommand = new Map<string, RequestFigures>()
  const addCommand = (command: string) => {
    const figures = { seconds: seconds.labels(command), bytes: bytes.labels(command) }
    perCommand.set(command, figures)
    return figures
  }
  return {
    connectionClosed: (_id, reason) => closed.inc({ reason }),
    requestDone({ byteLength, command, durationMs, errno }) {
      const figures = perCommand.get(command) ?? addCommand(command)
      figures.seconds.observe(durationMs / 1000)
      figures.bytes.inc(byteLength)
      if (errno !== 0) errors.inc({ command })
    },
    exportFailed: (diskId, command, error) => {
      const { nextCommand } = catalogue.LOCAL_STORAGE_FAILED
      const fields = { event: 'request-failed', diskId, command, nextCommand, err: error }
      logger.warn(fields, `disk ${diskId}: a ${command} of the guest failed: ${explanationOf(error)}`)
    },
  }
}

function watchDisks(metrics: Metrics, agent: TapAgent, shipper: ShipperThread): void {
  const perDisk = (
    name: string,
    help: string,
    read: (status: ReturnType<TapAgent['statuses']>[number]) => number,
  ) => {
    const gauge = metrics.gauge(name, help, ['disk'])
    Object.assign(gauge, {
      collect() {
        for (const status of agent.statuses()) gauge.set({ disk: status.diskId }, read(status))
      },
    })
  }
  perDisk('tap_numbered_sequence', 'Last sequence numbered.', (status) => status.numberedThrough)
  perDisk('tap_appended_sequence', 'Last sequence in the spool.', (status) => status.position?.sequence ?? 0)
  perDisk('tap_shipped_sequence', 'Last sequence at Kafka.', (status) => status.shipped?.sequence ?? 0)
  perDisk('tap_received_sequence', 'Last sequence at the target.', (status) => status.received?.sequence ?? 0)
  perDisk('tap_generation', 'Running generation.', (status) => status.position?.generation ?? 0)
  const { hostSpool } = agent
  if (hostSpool !== null) {
    const used = { name: 'tap_spool_host_bytes', help: 'Bytes of all spools on disk.' }
    collected(metrics, used, () => hostSpool.usedBytes)
    const limit = { name: 'tap_spool_host_limit_bytes', help: 'What all spools together may take.' }
    collected(metrics, limit, () => (Number.isFinite(hostSpool.bytesMax) ? hostSpool.bytesMax : 0))
  }
  perDisk('tap_spool_bytes', 'Bytes of the spool on disk.', (status) => status.spoolBytes)
  const states = metrics.gauge('tap_disk_state', '1 for the state the disk is in.', ['disk', 'state'])
  Object.assign(states, {
    collect() {
      for (const { diskId, state } of agent.statuses()) {
        for (const each of tapStates) states.set({ disk: diskId, state: each }, each === state ? 1 : 0)
      }
    },
  })
  watchLanes(metrics, shipper)
}

function watchLanes(metrics: Metrics, shipper: ShipperThread): void {
  for (const [key, help] of [
    ['batches', 'Batches acknowledged by Kafka.'],
    ['events', 'Events acknowledged by Kafka.'],
    ['payloadBytes', 'Payload acknowledged by Kafka.'],
    ['failures', 'Batches that failed.'],
  ] as const) {
    const name = `tap_shipped_${key.replaceAll(/([A-Z])/g, '_$1').toLowerCase()}`
    const gauge = metrics.gauge(name, help, ['kafka_partition'])
    Object.assign(gauge, {
      collect() {
        for (const [kafkaPartition, figures] of shipper.figures) {
          gauge.set({ kafka_partition: String(kafkaPartition) }, figures[key])
        }
      },
    })
  }
}

function collected(
  metrics: Metrics,
  gauge: { readonly name: string; readonly help: string },
  read: () => number,
): void {
  const made = metrics.gauge(gauge.name, gauge.help)
  Object.assign(made, {
    collect() {
      made.set(read())
    },
  })
}
