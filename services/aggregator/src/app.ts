import { connectReplicationLog, siteTopicSpecs } from '@blockferry/replication-log'
import {
  createHttpEdge,
  createMetrics,
  type RunningService,
  type ServiceContext,
  startLoop,
  systemClock,
  systemRandom,
} from '@blockferry/runtime/service'
import { packPayload } from '@blockferry/schemas'
import { createAggregator } from './aggregator.ts'
import type { AggregatorConfig } from './config.ts'
import { defaultAggregatorOptions } from './defaults.ts'
import { servePartitions } from './http/partitions-route.ts'
import type { AggregatorOptions } from './ports.ts'
import { createPrometheusMeter, watchStatus } from './prometheus-meter.ts'
import { readinessOf } from './readiness.ts'

/** The composition root: Kafka, clock, metrics and HTTP around the aggregator's logic. */
export async function startAggregator(
  config: AggregatorConfig,
  context: Pick<ServiceContext, 'logger' | 'signal'>,
): Promise<RunningService> {
  const { logger } = context
  logger.level = config.logLevel
  const metrics = createMetrics('aggregator')
  const aggregator = createAggregator(
    {
      clock: systemClock,
      random: systemRandom,
      connectLog: () => connectLog(config),
      pack: packPayload,
      logger,
      meter: createPrometheusMeter(metrics),
    },
    optionsOf(config),
  )
  watchStatus(metrics, () => aggregator.status)
  const edge = await createHttpEdge({
    service: 'aggregator',
    metrics,
    logger,
    readiness: () => readinessOf(aggregator.status),
  })
  servePartitions(edge, () => aggregator.status)
  const http = await edge.listen(config.httpListen)
  logger.info({ event: 'listening', http }, `listening on ${http}`)
  const running = startLoop((signal) => aggregator.run(signal))
  return {
    failed: running.failed,
    async [Symbol.asyncDispose]() {
      await running.stop()
      await edge.close()
      metrics[Symbol.dispose]()
    },
  }
}

async function connectLog(config: AggregatorConfig): ReturnType<typeof connectReplicationLog> {
  const instance = config.groupInstanceId === null ? {} : { groupInstanceId: config.groupInstanceId }
  return connectReplicationLog({
    brokers: config.kafkaBrokers,
    kafkaClient: config.kafkaClient,
    clientId: 'blockferry-aggregator',
    ...instance,
  })
}

function optionsOf(config: AggregatorConfig): AggregatorOptions {
  const { site, peerSite, topicPartitions: partitions } = config
  const [inputTopic, outputTopic] = [
    defaultAggregatorOptions.inputTopic,
    defaultAggregatorOptions.outputTopic,
  ]
  return {
    ...defaultAggregatorOptions,
    topics: siteTopicSpecs({ site, peerSite, partitions }),
    inputTopic,
    outputTopic,
    windowAgeMsMax: config.windowMs,
    foldingBytesMax: config.foldingBytesMax,
    queuedBytesMax: config.queuedBytesMax,
    fetchBytesMax: config.fetchBytesMax,
  }
}
