import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fillTemplate, type JavaRuntime, javaArguments } from './java.ts'
import type { ChildSpec } from './supervised-child.ts'

/** One end of a mirror: the cluster's alias and how MirrorMaker reaches it. */
export interface MirrorSite {
  /** The alias; it is part of the mirrored topics' names, so it never changes. */
  readonly name: string
  readonly brokers: readonly string[]
}

export interface MirrorProcessOptions {
  readonly java: JavaRuntime
  /** Gets the properties. */
  readonly directory: string
  /** Its brokers as seen over the WAN. */
  readonly source: MirrorSite
  readonly target: MirrorSite
  readonly heapMiB?: { readonly initial: number; readonly max: number }
  readonly replicationFactor?: number
  readonly tasksMax?: number
  /** Longest orderly stop before SIGKILL; what is mirrored twice then is dropped by the apply rule. */
  readonly stopMsMax?: number
}

const defaults = {
  heapMiB: { initial: 128, max: 640 },
  replicationFactor: 1,
  tasksMax: 2,
  stopMsMax: 15_000,
} as const

/**
 * MirrorMaker 2, both flows in one JVM (K7). It counts as serving once its process runs: whether its flows
 * run is watched in its status topics (mirror-monitor.ts), because a JVM says nothing about its tasks.
 */
export function prepareMirror(given: MirrorProcessOptions): ChildSpec {
  const options = { ...defaults, ...given }
  const { directory, java, source, target } = options
  const properties = join(directory, 'mirror-maker.properties')
  const content = fillTemplate('mirror-maker.properties', {
    source: source.name,
    target: target.name,
    sourceBrokers: source.brokers.join(','),
    targetBrokers: target.brokers.join(','),
    replicationFactor: options.replicationFactor,
    tasksMax: options.tasksMax,
  })
  writeFileSync(properties, content)
  return {
    name: 'mirror',
    command: java.command,
    args: javaArguments({
      java,
      heapMiB: options.heapMiB,
      log4j: 'mirror-log4j2.properties',
      main: 'org.apache.kafka.connect.mirror.MirrorMaker',
      args: [properties],
    }),
    env: { PATH: process.env['PATH'] ?? '' },
    awaitReady: async () => {},
    readyMsMax: 5_000,
    stopMsMax: options.stopMsMax,
  }
}
