import { execFile } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type ChildSpec, fillTemplate, type JavaRuntime, javaArguments } from '@blockferry/supervision'
import { fault } from '../faults.ts'

const host = '127.0.0.1'
const heapMiB = { initial: 128, max: 384 }
const log4j = 'log4j2.properties'

export interface BrokerOptions {
  readonly name: 'kafka-a' | 'kafka-b'
  readonly java: JavaRuntime
  readonly directory: string
  /** Fixed per site, so that a directory moved to the other site is refused by Kafka itself. */
  readonly clusterId: string
  readonly port: number
  readonly controllerPort: number
  /** A second listener, whose advertised address is the WAN proxy: who connects over the link stays on it. */
  readonly wan: { readonly port: number; readonly advertisedPort: number } | null
  readonly awaitReady: ChildSpec['awaitReady']
}

/** 16 bytes each, base64url, as Kafka wants a cluster id. */
export const clusterIds = {
  siteA: Buffer.from('blockferry-lab-a').toString('base64url'),
  siteB: Buffer.from('blockferry-lab-b').toString('base64url'),
} as const

/**
 * A single-node KRaft broker: writes its properties, formats its storage the first time.
 * @throws KAFKA_FORMAT_FAILED
 */
export async function prepareBroker(options: BrokerOptions): Promise<ChildSpec> {
  const { java, name } = options
  const properties = join(options.directory, 'broker.properties')
  writeFileSync(properties, brokerProperties(options))
  if (!existsSync(join(dataOf(options), 'meta.properties'))) await formatStorage(options, properties)
  return {
    name,
    command: java.command,
    args: javaArguments({ java, heapMiB, log4j, main: 'kafka.Kafka', args: [properties] }),
    env: { PATH: process.env['PATH'] ?? '' },
    awaitReady: options.awaitReady,
    readyMsMax: 60_000,
    stopMsMax: 15_000,
  }
}

function dataOf(options: BrokerOptions): string {
  return join(options.directory, 'data')
}

function brokerProperties(options: BrokerOptions): string {
  const { controllerPort, port, wan } = options
  const base = fillTemplate('broker.properties', {
    host,
    port,
    controllerPort,
    advertisedHost: host,
    advertisedPort: port,
    logDirectory: dataOf(options),
  })
  if (wan === null) return base
  // A property given again wins over the one before.
  return [
    base,
    `listeners=PLAINTEXT://${host}:${port},WAN://${host}:${wan.port},CONTROLLER://${host}:${controllerPort}`,
    `advertised.listeners=PLAINTEXT://${host}:${port},WAN://${host}:${wan.advertisedPort}`,
    'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,WAN:PLAINTEXT,CONTROLLER:PLAINTEXT',
    '',
  ].join('\n')
}

async function formatStorage(options: BrokerOptions, properties: string): Promise<void> {
  const { clusterId, java, name } = options
  const args = javaArguments({
    java,
    heapMiB: { initial: 64, max: 128 },
    log4j,
    main: 'kafka.tools.StorageTool',
    args: ['format', '--cluster-id', clusterId, '--config', properties, '--ignore-formatted'],
  })
  try {
    await promisify(execFile)(java.command, [...args], { timeout: 60_000 })
  } catch (cause) {
    const { stdout, stderr } = cause as { stdout?: string; stderr?: string }
    const output = `${stdout ?? ''}${stderr ?? ''}`.trim().slice(-2000)
    throw fault('KAFKA_FORMAT_FAILED', `${name}: storage could not be formatted\n${output}`, { cause })
  }
}
