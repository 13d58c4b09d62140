import { join } from 'node:path'
import { MiB } from '@blockferry/runtime'
import {
  createHttpEdge,
  createMetrics,
  type Logger,
  type RunningService,
  type ServiceContext,
  startLoop,
  systemClock,
  systemRandom,
  waitForRepair,
} from '@blockferry/runtime/service'
import { connectReplicationLog, siteTopicSpecs } from '@blockferry/replication-log'
import { unpackPayload } from '@blockferry/schemas'
import { openSegmentLog } from '@blockferry/segment-log'
import {
  lockDirectory,
  openControlSlots,
  openSlotFile,
  probeDirectory,
  slotAlignmentBytes,
} from '@blockferry/storage'
import { createApplier } from './applier.ts'
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
  const applier = await createApplier(depsOf(config, logger), optionsOf(config))
  const metrics = createMetrics('applier')
  watchApplier(metrics, applier)
  const edge = await createHttpEdge({
    service: 'applier',
    metrics,
    logger,
    readiness: () => applierReadiness(applier),
    statusOf: statusOfFault,
  })
  const feed = await serveApplier(edge, applier)
  const http = await edge.listen(config.httpListen)
  logger.info(
    { event: 'listening', http, lag: `${http.replace(/^http/, 'ws')}/v1/lag` },
    `listening on ${http}`,
  )
  const running = startLoop((signal) => applier.run(signal))
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

function depsOf(config: ApplierConfig, logger: Logger): ApplierDeps {
  const { kafkaBrokers: brokers, kafkaClient, stateDirectory } = config
  const random = systemRandom
  const journal = { segmentBytes: config.journalSegmentBytes, bytesMax: config.journalBytesMax }
  const index = { segmentBytes: indexSegmentBytes, bytesMax: indexBytesMax }
  return {
    clock: systemClock,
    random,
    connectLog: () => connectReplicationLog({ brokers, kafkaClient, clientId: 'blockferry-applier' }),
    topics: topicsOf(config),
    openJournal: (place) =>
      openSegmentLog({ directory: join(stateDirectory, 'journal'), limits: journal, random, ...place }),
    openIndex: (place) =>
      openSegmentLog({ directory: join(stateDirectory, 'recovery-points'), limits: index, random, ...place }),
    openCheckpoint: () =>
      openControlSlots({
        file: openSlotFile(join(stateDirectory, 'checkpoint')),
        slotBytes: Math.ceil(config.checkpointBytesMax / slotAlignmentBytes) * slotAlignmentBytes,
      }),
    targets: createTargetImages({
      paths: targetPaths(config.disks),
      directory: config.targetDirectory,
      random,
    }),
    unpack: unpackPayload,
    logger,
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
