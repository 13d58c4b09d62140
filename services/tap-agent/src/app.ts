import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createNbdServer, type NbdListenAddress, type NbdServer } from '@blockferry/nbd'
import {
  type Address,
  createHttpEdge,
  createMetrics,
  type HttpEdge,
  type Logger,
  type RunningService,
  type ServiceContext,
  systemClock,
  systemRandom,
  waitForRepair,
} from '@blockferry/runtime/service'
import { publishedLengthBytes } from '@blockferry/segment-log'
import {
  type DirectoryLock,
  lockDirectory,
  openControlSlots,
  openSlotFile,
  probeDirectory,
  readBootId,
} from '@blockferry/storage'
import { StampStore } from './agent/stamp-store.ts'
import { TapAgent } from './agent/tap-agent.ts'
import type { TapAgentConfig } from './config.ts'
import { type ConfiguredDisk, parseDiskList } from './disk-list.ts'
import { controlSlotBytes, diskStorage, spoolDirectory, spoolSegmentBytes } from './disk-storage.ts'
import { fault } from './error-catalogue.ts'
import { nbdExportsOf } from './nbd-exports.ts'
import { serveDisks } from './http/disks-route.ts'
import { serveRecoveryPoints } from './http/recovery-points-route.ts'
import { readinessOf, statusOf } from './http/readiness.ts'
import { createLoopDelay } from './process-loop-delay.ts'
import type { VolumeSpace } from './spool/host-spool.ts'
import { createTapMeter, type TapMeter } from './tap-meter.ts'
import { sharedBell } from './shipper/bell.ts'
import { type ShipperThread, startShipperThread } from './shipper-thread.ts'
import type { ShipperThreadData } from './shipper/thread-messages.ts'

const stampFileName = 'stamp'
/**
 * How long a stop waits for clients that do not read their replies, or whose requests hang: of the ten seconds that
 * it has, the disks need the rest to say that they were closed in order.
 */
const nbdStopMsMax = 3_000

/** The composition root: state directory, shipper thread, disks, NBD and HTTP. */
export async function startTapAgent(
  config: TapAgentConfig,
  context: Pick<ServiceContext, 'logger' | 'signal'>,
): Promise<RunningService> {
  const { logger } = context
  logger.level = config.logLevel
  const { disks } = parseDiskList(config.disks)
  if (config.waitForRepair) await waitForState(config, context)
  const lock = await lockDirectory(config.stateDirectory)
  const metrics = createMetrics('tap-agent')
  const meter = createTapMeter(metrics, logger)
  const stamps = await openStamps(lock.directory, meter)
  const { agent, shipper } = await assemble(config, { disks, directory: lock.directory, stamps, meter })
  meter.watch(agent, shipper)
  await agent.start()
  const nbd = createNbdServer({
    exports: nbdExportsOf(agent),
    limits: {
      connectionsMax: config.nbdConnectionsMax,
      inFlightBytesMax: config.nbdInFlightBytesMax,
      shutdownDeadlineMs: nbdStopMsMax,
    },
    observer: meter.nbd,
  })
  meter.watchNbd(nbd)
  const readiness = () => readinessOf(agent)
  const edge = await createHttpEdge({ service: 'tap-agent', metrics, logger, readiness, statusOf })
  serveDisks(edge, agent)
  serveRecoveryPoints(edge, agent)
  await listen({ config, nbd, edge, logger })
  return running({ agent, shipper, nbd, edge, lock, metrics })
}

async function openStamps(directory: string, meter: TapMeter): Promise<StampStore> {
  const file = openSlotFile(join(directory, stampFileName))
  const slots = await openControlSlots({ file, slotBytes: controlSlotBytes, whenLost: 'begin-anew' })
  const stamps = await StampStore.open(slots, systemRandom)
  if (stamps.damage !== null) {
    meter.disks.trouble?.('', fault(stamps.damage, `the stamp goes on as ${JSON.stringify(stamps.newest)}`))
  }
  return stamps
}

/** An agent that has a state already needs no free space to serve its guests: without a spool it is AHEAD. */
async function waitForState(
  config: TapAgentConfig,
  context: Pick<ServiceContext, 'logger' | 'signal'>,
): Promise<void> {
  const { httpListen, stateDirectory } = config
  const isNew = () => !existsSync(join(stateDirectory, stampFileName))
  const look = () => probeDirectory(stateDirectory, { writes: isNew() })
  await waitForRepair({ service: 'tap-agent', httpListen, clock: systemClock, look, ...context })
}

async function assemble(
  config: TapAgentConfig,
  parts: {
    readonly disks: readonly ConfiguredDisk[]
    readonly directory: string
    readonly stamps: StampStore
    readonly meter: TapMeter
  },
): Promise<{ readonly agent: TapAgent; readonly shipper: ShipperThread }> {
  const { directory, disks, meter, stamps } = parts
  const bellMemory = new SharedArrayBuffer(4)
  const published = new Map(disks.map(({ diskId }) => [diskId, new SharedArrayBuffer(publishedLengthBytes)]))
  const publishedOf = (diskId: string) => published.get(diskId) ?? new SharedArrayBuffer(publishedLengthBytes)
  // Before the thread: nothing may await between its start and the agent that hears its messages.
  const bootId = await readBootId()
  const shipper = startShipperThread({
    data: shipperData(config, { agentId: stamps.newest.agentId, bell: bellMemory }),
    placeOf: (diskId) => ({
      directory: spoolDirectory(directory, diskId),
      published: publishedOf(diskId),
      segmentBytes: spoolSegmentBytes,
    }),
    listener: () => agent,
  })
  const loopDelay = createLoopDelay()
  const agent: TapAgent = new TapAgent(
    {
      clock: systemClock,
      random: systemRandom,
      bootId,
      loopDelayMs: () => loopDelay.read(),
      stamps,
      storageOf: ({ diskId }) => {
        const disk = disks.find((candidate) => candidate.diskId === diskId)
        return diskStorage({
          directory,
          disk,
          published: publishedOf(diskId),
          spoolBytesMax: config.spoolBytesMax,
        })
      },
      volume: () => volumeSpace(directory),
      observer: meter.disks,
    },
    {
      disks: disks.map(({ diskId, groupId, provisioning }) => ({
        diskId,
        groupId,
        provisioning,
        segmentBytes: spoolSegmentBytes,
        spoolBytesMax: config.spoolBytesMax,
      })),
      cutIntervalMs: config.cutIntervalMs,
      spoolVolumeShare: config.spoolVolumeShare / 100,
    },
    { shipper, bell: sharedBell(bellMemory) },
  )
  return { agent, shipper }
}

function shipperData(
  config: TapAgentConfig,
  own: { readonly agentId: string; readonly bell: SharedArrayBuffer },
): ShipperThreadData {
  const { agentId, bell } = own
  return {
    options: {
      agentId,
      site: config.site,
      peerSite: config.peerSite,
      partitions: config.topicPartitions,
      batchBytesMax: config.shipBatchBytesMax,
      lingerMs: config.shipLingerMs,
    },
    kafkaBrokers: config.kafkaBrokers,
    kafkaClient: config.kafkaClient,
    clientId: `blockferry-tap-${agentId.slice(0, 8)}`,
    bell,
  }
}

async function volumeSpace(directory: string): Promise<VolumeSpace> {
  const { bavail, blocks, bsize } = await statfs(directory)
  return { sizeBytes: blocks * bsize, freeBytes: bavail * bsize }
}

async function listen(parts: {
  readonly config: TapAgentConfig
  readonly nbd: NbdServer
  readonly edge: HttpEdge
  readonly logger: Logger
}): Promise<void> {
  const { config, edge, logger, nbd } = parts
  const nbdAddresses: NbdListenAddress[] = []
  if (config.nbdSocket !== null) nbdAddresses.push(await listenOnSocket(nbd, config.nbdSocket))
  if (config.nbdListen !== null) nbdAddresses.push(await nbd.listen(config.nbdListen satisfies Address))
  const http = await edge.listen(config.httpListen)
  logger.info({ event: 'listening', http, nbd: nbdAddresses }, `listening on ${http}`)
}

/** A socket left by a process that was killed is in the way; the state directory's lock says nobody uses it. */
async function listenOnSocket(nbd: NbdServer, path: string): Promise<NbdListenAddress> {
  mkdirSync(dirname(path), { recursive: true })
  rmSync(path, { force: true })
  return nbd.listen({ path })
}

function running(parts: {
  readonly agent: TapAgent
  readonly shipper: ShipperThread
  readonly nbd: NbdServer
  readonly edge: HttpEdge
  readonly lock: DirectoryLock
  readonly metrics: Disposable
}): RunningService {
  return {
    failed: parts.shipper.failed,
    async [Symbol.asyncDispose]() {
      await parts.nbd.close()
      await parts.agent.close()
      await parts.shipper.stop()
      await parts.edge.close()
      parts.metrics[Symbol.dispose]()
      await parts.lock.release()
    },
  }
}
