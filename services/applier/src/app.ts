import { join } from 'node:path'
import { KiB, MiB } from '@blockferry/runtime'
import {
  createHttpEdge,
  createMetrics,
  type Logger,
  type RunningService,
  type ServiceContext,
  systemClock,
  systemRandom,
  waitForRepair,
} from '@blockferry/runtime/service'
import {
  connectReplicationLog,
  ensureTopicsUntilDone,
  type ReplicationLog,
  siteTopicSpecs,
} from '@blockferry/replication-log'
import { unpackPayload } from '@blockferry/schemas'
import { openSegmentLog } from '@blockferry/segment-log'
import { lockDirectory, openControlSlots, openSlotFile, probeDirectory } from '@blockferry/storage'
import { type Applier, createApplier } from './applier.ts'
import { type ApplierConfig, targetPaths } from './config.ts'
import { serveApplier, statusOfFault } from './http/serve-applier.ts'
import { applierReadiness } from './http/readiness.ts'
import { watchApplier } from './http/applier-metrics.ts'
import { type ApplierOptions, defaultApplierOptions } from './options.ts'
import type { ApplierDeps } from './ports.ts'
import { createTargetImages } from './target-images.ts'

const indexSegmentBytes = 4 * MiB
const indexBytesMax = 256 * MiB

/** The composition root: files, Kafka, clock, metrics and HTTP around the applier's logic. */
export async function startApplier(
  config: ApplierConfig,
  context: Pick<ServiceContext, 'logger' | 'signal'>,
): Promise<RunningService> {
  const { logger } = context
  logger.level = config.logLevel
  if (config.waitForRepair) {
    const { httpListen, stateDirectory } = config
    const look = () => probeDirectory(stateDirectory)
    await waitForRepair({ service: 'applier', httpListen, clock: systemClock, look, ...context })
  }
  const lock = await lockDirectory(config.stateDirectory)
  const replicationLog = await connectReplicationLog({
    brokers: config.kafkaBrokers,
    kafkaClient: config.kafkaClient,
    clientId: 'blockferry-applier',
  })
  const applier = await createApplier(depsOf(config, { logger, replicationLog }), optionsOf(config))
  const topicsWait: TopicsWait = { why: 'the brokers have not answered yet' }
  const metrics = createMetrics('applier')
  watchApplier(metrics, applier)
  const edge = await createHttpEdge({
    service: 'applier',
    metrics,
    logger,
    readiness: () => applierReadiness(applier, topicsWait.why),
    statusOf: statusOfFault,
  })
  const feed = await serveApplier(edge, applier)
  const http = await edge.listen(config.httpListen)
  logger.info(
    { event: 'listening', http, lag: `${http.replace(/^http/, 'ws')}/v1/lag` },
    `listening on ${http}`,
  )
  const running = run({ applier, replicationLog, topics: topicsOf(config), topicsWait, logger })
  return {
    failed: running.failed,
    [Symbol.asyncDispose]: async () => {
      feed.close()
      await running.stop()
      await edge.close()
      await applier[Symbol.asyncDispose]()
      await lock.release()
      metrics[Symbol.dispose]()
    },
  }
}

function depsOf(
  config: ApplierConfig,
  made: { readonly logger: Logger; readonly replicationLog: ReplicationLog },
): ApplierDeps {
  const { stateDirectory } = config
  const random = systemRandom
  const journal = { segmentBytes: config.journalSegmentBytes, bytesMax: config.journalBytesMax }
  const index = { segmentBytes: indexSegmentBytes, bytesMax: indexBytesMax }
  return {
    clock: systemClock,
    random,
    replicationLog: made.replicationLog,
    openJournal: (place) =>
      openSegmentLog({ directory: join(stateDirectory, 'journal'), limits: journal, random, ...place }),
    openIndex: (place) =>
      openSegmentLog({ directory: join(stateDirectory, 'recovery-points'), limits: index, random, ...place }),
    openCheckpoint: () =>
      openControlSlots({
        file: openSlotFile(join(stateDirectory, 'checkpoint')),
        slotBytes: 512 * KiB,
      }),
    targets: createTargetImages({
      paths: targetPaths(config.disks),
      directory: config.targetDirectory,
      random,
    }),
    unpack: unpackPayload,
    logger: made.logger,
  }
}

function optionsOf(config: ApplierConfig): Partial<ApplierOptions> {
  return {
    site: config.site,
    peerSite: config.peerSite,
    journalBytesMax: config.journalBytesMax,
    journalDiskBytesMax:
      config.journalDiskBytesMax ??
      Math.min(defaultApplierOptions.journalDiskBytesMax, config.journalBytesMax),
    journalCopyForwardBytes: config.journalBytesMax / 2,
    applyIntervalMs: config.applyIntervalMs,
    applyBytesMax: config.applyBytesMax,
    fetchBytesMax: config.fetchBytesMax,
    fetchPartitionBytesMax: Math.min(config.fetchBytesMax, defaultApplierOptions.fetchPartitionBytesMax),
    resendDeadlineMs: config.resendDeadlineMs,
    recoveryPointsMax: config.recoveryPointsMax,
  }
}

function topicsOf(config: ApplierConfig): ReturnType<typeof siteTopicSpecs> {
  const { site, peerSite, topicPartitions: partitions } = config
  return siteTopicSpecs({ site, peerSite, partitions })
}

/** Why the topics could not be checked yet; null: they were. */
interface TopicsWait {
  why: string | null
}

interface RunParts {
  readonly applier: Applier
  readonly replicationLog: ReplicationLog
  readonly topics: ReturnType<typeof siteTopicSpecs>
  readonly topicsWait: TopicsWait
  readonly logger: Logger
}

function run(parts: RunParts): { readonly failed: Promise<never>; readonly stop: () => Promise<void> } {
  const stopping = new AbortController()
  const { applier, replicationLog, topics, topicsWait, logger } = parts
  const onWaiting = (why: string) => {
    topicsWait.why = why
  }
  const running = (async () => {
    const deps = { replicationLog, clock: systemClock, logger, topics, onWaiting }
    await ensureTopicsUntilDone(deps, stopping.signal)
    topicsWait.why = null
    await applier.run(stopping.signal)
  })()
  const { promise: failed, reject } = Promise.withResolvers<never>()
  running.catch(reject)
  return {
    failed,
    stop: async () => {
      stopping.abort()
      // What waits for an answer of brokers that are away ends with its client, not after its own deadline.
      await Promise.all([running, replicationLog.close()])
    },
  }
}
