/*
 * Both sites on this machine:
 *
 *   kafka-a, kafka-b ─► topics on both ─► wan ─► mirror, tap-agent, aggregator, applier ─► ready
 *
 * State stays in DIR; the same command continues where it stopped.
 */
import { mkdirSync, rmSync } from 'node:fs'
import type { Clock, Random } from '@blockferry/runtime'
import { connectReplicationLog, type ReplicationLog } from '@blockferry/replication-log'
import {
  type ChildSpec,
  createLaunch,
  type JavaRuntime,
  mirrorFlows,
  MirrorMonitor,
  prepareMirror,
  startGuard,
  supervisionFault,
} from '@blockferry/supervision'
import { fault } from '../faults.ts'
import { writeFileAtomically } from './atomic-file.ts'
import { ChildRecords, stopStaleChildren } from './child-records.ts'
import { findJava } from './java.ts'
import { clusterIds, prepareBroker } from './kafka-broker.ts'
import { LabChildren } from './lab-children.ts'
import { type LabPaths, layOutLabDirectory, lockLabDirectory } from './lab-directory.ts'
import { type LabDisk, prepareDisk } from './lab-disk.ts'
import { LabLogs } from './lab-logs.ts'
import type { LabOptions } from './lab-options.ts'
import { awaitMetadata, createTopics } from './lab-topics.ts'
import { type LabPorts, settlePorts } from './ports.ts'
import { describeLab, type LabReady } from './ready.ts'
import { type ServiceSetup, serviceProcesses, wanProcess } from './service-processes.ts'
import { openSupervisorEdge } from './supervisor-edge.ts'

/** MirrorMaker needs about nine seconds to mirror a new topic; a busy machine several times that. */
export const mirrorReadyMsMax = 120_000

export interface LabDeps {
  readonly clock: Clock
  readonly random: Random
  /** A line for people. */
  readonly show: (text: string) => void
  /** A line for machines: `ready`, `restarted`. */
  readonly onEvent: (event: object) => void
  /** The services to run; the default is all three. */
  readonly services?: (setup: ServiceSetup) => readonly ChildSpec[]
}

export interface Lab extends AsyncDisposable {
  readonly ready: LabReady
}

const host = '127.0.0.1'

/**
 * Starts everything; resolves when everything serves. What was started is stopped again when a part fails
 * or the signal aborts.
 * @throws LAB_IN_USE, KAFKA_MISSING, CHILD_NOT_STARTED, CHILD_REFUSED_CONFIG, SOURCE_SIZE_DIFFERS, SOURCE_MISSING …
 */
export async function startLab(options: LabOptions, deps: LabDeps, signal: AbortSignal): Promise<Lab> {
  await using stack = new AsyncDisposableStack()
  mkdirSync(options.directory, { recursive: true })
  stack.use(await lockLabDirectory(options.directory))
  const paths = layOutLabDirectory(options.directory)
  const disks = options.disks.map((disk) => prepareDisk(disk, paths))
  const logs = new LabLogs(paths.logs, deps.show)
  stack.defer(async () => logs.close())
  await stopLeftOvers(paths, { clock: deps.clock, logs })
  const ports = await settlePorts(paths.portsFile, deps.random)
  const lab = new RunningLab({ options, deps, paths, disks, ports, logs })
  stack.use(lab)
  // A stop ends a start that is still going on: stopped children end their own waiting.
  const stop = () => void lab.stopChildren()
  signal.addEventListener('abort', stop, { once: true })
  await lab.start(signal)
  signal.removeEventListener('abort', stop)
  const owned = stack.move()
  return { ready: lab.ready, [Symbol.asyncDispose]: async () => owned[Symbol.asyncDispose]() }
}

async function stopLeftOvers(
  paths: LabPaths,
  deps: { readonly clock: Clock; readonly logs: LabLogs },
): Promise<void> {
  rmSync(paths.readyFile, { force: true })
  const stopped = await stopStaleChildren(paths.pidsFile, deps.clock)
  if (stopped.length > 0) {
    deps.logs.logger.warn(`ended what a killed start had left running: ${stopped.join(', ')}`)
  }
}

interface LabParts {
  readonly options: LabOptions
  readonly deps: LabDeps
  readonly paths: LabPaths
  readonly disks: readonly LabDisk[]
  readonly ports: LabPorts
  readonly logs: LabLogs
}

class RunningLab implements AsyncDisposable {
  readonly #parts: LabParts
  readonly #children: LabChildren
  readonly #watching = new AbortController()
  readonly #owned = new AsyncDisposableStack()
  #ready: LabReady | null = null
  #supervisorHttp = ''
  #stopping: Promise<void> | null = null

  constructor(parts: LabParts) {
    this.#parts = parts
    const { deps, logs, paths } = parts
    const guard = this.#owned.use(startGuard())
    const records = new ChildRecords(paths.pidsFile)
    this.#children = new LabChildren({
      clock: deps.clock,
      logger: logs.logger,
      launch: createLaunch({ guard, records, onLine: (name, line) => logs.onLine(name, line) }),
      onRestarted: (name, pid) => this.#onRestarted(name, pid),
    })
  }

  get ready(): LabReady {
    if (this.#ready === null) throw fault('LAB_NOT_RUNNING', 'the lab is not ready')
    return this.#ready
  }

  async start(signal: AbortSignal): Promise<void> {
    const { deps, disks, logs, options, paths, ports } = this.#parts
    const java = await findJava((line) => logs.logger.info(line))
    const siteA = await this.#connect(ports.kafkaA)
    const siteB = await this.#connect(ports.kafkaB)
    await this.#startBrokers(java, { siteA, siteB })
    await createTopics({ siteA, siteB })
    await this.#children.start(wanProcess(ports, options.wanBytesPerSecond))
    const monitor = await this.#watchMirror({ siteA, siteB })
    const services = (deps.services ?? serviceProcesses)({
      ports,
      paths,
      disks,
      nbdListen: options.nbdListen,
      kafkaClient: options.kafkaClient,
    })
    await Promise.all([
      this.#startMirror(java, { monitor, signal }),
      ...services.map(async (spec) => this.#children.start(spec)),
    ])
    this.#announce()
  }

  async #connect(port: number): Promise<ReplicationLog> {
    const brokers = [`${host}:${port}`]
    return this.#owned.use(await connectReplicationLog({ brokers, clientId: 'blockferry-start' }))
  }

  async #startBrokers(
    java: JavaRuntime,
    logs: { readonly siteA: ReplicationLog; readonly siteB: ReplicationLog },
  ): Promise<void> {
    const { deps, paths, ports } = this.#parts
    const [a, b] = await Promise.all([
      prepareBroker({
        name: 'kafka-a',
        java,
        directory: paths.kafkaA,
        clusterId: clusterIds.siteA,
        port: ports.kafkaA,
        controllerPort: ports.kafkaAController,
        wan: { port: ports.kafkaAWan, advertisedPort: ports.wan },
        awaitReady: awaitMetadata(logs.siteA, deps.clock),
      }),
      prepareBroker({
        name: 'kafka-b',
        java,
        directory: paths.kafkaB,
        clusterId: clusterIds.siteB,
        port: ports.kafkaB,
        controllerPort: ports.kafkaBController,
        wan: null,
        awaitReady: awaitMetadata(logs.siteB, deps.clock),
      }),
    ])
    await Promise.all([this.#children.start(a), this.#children.start(b)])
  }

  async #watchMirror(logs: {
    readonly siteA: ReplicationLog
    readonly siteB: ReplicationLog
  }): Promise<MirrorMonitor> {
    const { deps, logs: labLogs, ports } = this.#parts
    const monitor = new MirrorMonitor({
      clock: deps.clock,
      logger: labLogs.logger,
      flows: mirrorFlows({
        source: { name: 'site-a', log: logs.siteA },
        target: { name: 'site-b', log: logs.siteB },
      }),
      launchedAtMs: () => this.#children.launchedAtMs('mirror'),
      onFailed: (reason) => this.#children.get('mirror')?.restart(reason),
    })
    const edge = await openSupervisorEdge({
      port: ports.supervisorHttp,
      logger: labLogs.logger,
      view: { processes: () => this.#children.processes(), flows: () => monitor.reports },
    })
    this.#owned.use(edge)
    this.#supervisorHttp = edge.http
    return monitor
  }

  /** Serving means that both flows run, which only MirrorMaker's status topics tell. */
  async #startMirror(
    java: JavaRuntime,
    watch: { readonly monitor: MirrorMonitor; readonly signal: AbortSignal },
  ): Promise<void> {
    const { clock } = this.#parts.deps
    const { paths, ports, logs } = this.#parts
    const source = { name: 'site-a', brokers: [`${host}:${ports.wan}`] }
    const target = { name: 'site-b', brokers: [`${host}:${ports.kafkaB}`] }
    await this.#children.start(prepareMirror({ java, directory: paths.mirror, source, target }))
    const watching = watch.monitor.run(this.#watching.signal)
    this.#owned.defer(async () => watching)
    const deadlineMs = clock.monotonicMs() + mirrorReadyMsMax
    while (!watch.monitor.reports.every(({ running }) => running) && !watch.signal.aborted) {
      if (clock.monotonicMs() > deadlineMs) {
        const what = `the mirror's flows do not run after ${mirrorReadyMsMax / 1000} s; see ${logs.pathOf('mirror')}`
        throw supervisionFault('CHILD_NOT_STARTED', what)
      }
      await clock.sleep(100, watch.signal)
    }
  }

  #describe(): LabReady {
    const { disks, paths, ports } = this.#parts
    const pids = this.#children.pids
    return describeLab({
      disks,
      nbdSocket: paths.nbdSocket,
      ports,
      pids,
      supervisorHttp: this.#supervisorHttp,
    })
  }

  #announce(): void {
    this.#ready = this.#describe()
    writeFileAtomically(this.#parts.paths.readyFile, `${JSON.stringify(this.#ready, null, 2)}\n`)
    this.#parts.deps.onEvent(this.#ready)
  }

  #onRestarted(name: string, pid: number): void {
    // Before `ready` nobody knows the pid that is gone.
    if (this.#ready === null) return
    this.#ready = this.#describe()
    writeFileAtomically(this.#parts.paths.readyFile, `${JSON.stringify(this.#ready, null, 2)}\n`)
    this.#parts.deps.onEvent({ event: 'restarted', process: name, pid })
  }

  async stopChildren(): Promise<void> {
    this.#watching.abort()
    this.#stopping ??= this.#children.stop()
    await this.#stopping
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopChildren()
    rmSync(this.#parts.paths.readyFile, { force: true })
    await this.#owned.disposeAsync()
  }
}
