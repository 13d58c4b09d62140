import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
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
} from '@blockferry/runtime/service'
import { connectReplicationLog } from '@blockferry/replication-log'
import {
  type ChildSpec,
  createLaunch,
  prepareMirror,
  readJvmLine,
  startGuard,
  watchChildren,
  watchFlows,
} from '@blockferry/supervision'
import type { MirrorMakerConfig } from './config.ts'
import { serveFlows } from './http/flows-route.ts'
import { classPathOf } from './kafka-libs.ts'
import { MirrorSupervisor } from './mirror-supervisor.ts'

/** Leaves time of the service's own ten seconds for what comes after the JVM. */
const jvmStopMsMax = 8_000

/** The composition root: MirrorMaker's JVM, Kafka at both sites, metrics and HTTP around its supervisor. */
export async function startMirrorMaker(
  config: MirrorMakerConfig,
  context: Pick<ServiceContext, 'logger' | 'signal'>,
): Promise<RunningService> {
  const { logger } = context
  logger.level = config.logLevel
  await using stack = new AsyncDisposableStack()
  const directory = stack.adopt(makeWorkDirectory(config), (path) =>
    rmSync(path, { recursive: true, force: true }),
  )
  const clientId = 'blockferry-mirror-maker'
  const { kafkaClient } = config
  const [source, target] = await Promise.all([
    connectReplicationLog({ kafkaClient, brokers: config.peerKafkaBrokers, clientId }),
    connectReplicationLog({ kafkaClient, brokers: config.kafkaBrokers, clientId }),
  ])
  const guard = stack.use(startGuard())
  const supervisor = new MirrorSupervisor({
    clock: systemClock,
    logger,
    launch: createLaunch({ guard, onLine: (_name, line) => logJvmLine(logger, line) }),
    source: { name: config.peerSite, log: source },
    target: { name: config.site, log: target },
    spec: mirrorSpec(config, directory),
    partitions: config.topicPartitions,
  })
  const metrics = stack.use(createMetrics('mirror-maker'))
  watchChildren(metrics, () => [supervisor.process])
  watchFlows(metrics, () => supervisor.flows)
  const edge = await createHttpEdge({
    service: 'mirror-maker',
    metrics,
    logger,
    readiness: () => ({ ready: supervisor.reasons.length === 0, reasons: supervisor.reasons }),
  })
  serveFlows(edge, supervisor)
  const http = await edge.listen(config.httpListen)
  stack.defer(async () => edge.close())
  logger.info({ event: 'listening', http }, `listening on ${http}`)
  const running = startLoop((signal) => supervisor.run(signal))
  // What waits for an answer over a link that is cut ends with its client.
  stack.defer(() => running.stop(async () => void (await Promise.all([source.close(), target.close()]))))
  const owned = stack.move()
  return { failed: running.failed, [Symbol.asyncDispose]: async () => owned.disposeAsync() }
}

function makeWorkDirectory(config: MirrorMakerConfig): string {
  const parent = config.workDirectory ?? tmpdir()
  mkdirSync(parent, { recursive: true })
  return mkdtempSync(join(parent, 'blockferry-mirror-maker-'))
}

function mirrorSpec(config: MirrorMakerConfig, directory: string): ChildSpec {
  const wholeMiB = (bytes: number) => Math.floor(bytes / MiB)
  return prepareMirror({
    java: { command: config.javaCommand, classPath: classPathOf(config.kafkaLibs) },
    directory,
    source: { name: config.peerSite, brokers: config.peerKafkaBrokers },
    target: { name: config.site, brokers: config.kafkaBrokers },
    heapMiB: { initial: wholeMiB(config.heapBytesInitial), max: wholeMiB(config.heapBytesMax) },
    replicationFactor: config.replicationFactor,
    tasksMax: config.tasksMax,
    stopMsMax: jvmStopMsMax,
  })
}

/** The JVM's own lines, as structured as ours. */
function logJvmLine(logger: Logger, line: string): void {
  const { isHarmless, level, text } = readJvmLine(line)
  logger[isHarmless ? 'debug' : level]({ event: 'jvm', process: 'mirror' }, text)
}
