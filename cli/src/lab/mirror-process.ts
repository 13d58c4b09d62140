import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fillTemplate, type JavaRuntime, javaArguments } from './java.ts'
import type { ChildSpec } from './supervised-child.ts'

/**
 * MirrorMaker 2, both flows in one JVM (K7). It counts as serving once its process runs: whether its flows
 * run is watched in its status topics (mirror-monitor.ts), because a JVM says nothing about its tasks.
 */
export function prepareMirror(options: {
  readonly java: JavaRuntime
  readonly directory: string
  /** Kafka A as seen over the WAN. */
  readonly siteA: string
  readonly siteB: string
}): ChildSpec {
  const { directory, java, siteA, siteB } = options
  const properties = join(directory, 'mirror-maker.properties')
  writeFileSync(properties, fillTemplate('mirror-maker.properties', { siteA, siteB, replicationFactor: 1 }))
  return {
    name: 'mirror',
    command: java.command,
    args: javaArguments({
      java,
      heapMiB: { initial: 128, max: 640 },
      log4j: 'mirror-log4j2.properties',
      main: 'org.apache.kafka.connect.mirror.MirrorMaker',
      args: [properties],
    }),
    env: { PATH: process.env['PATH'] ?? '' },
    awaitReady: async () => {},
    readyMsMax: 5_000,
    stopMsMax: 15_000,
  }
}
