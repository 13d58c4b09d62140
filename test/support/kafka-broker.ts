import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { connectReplicationLog } from '@blockferry/replication-log'
import { assert } from '@blockferry/runtime'
// Plain JavaScript, shared with the setup that runs before anything is installed.
import { resolveKafkaJars } from '../../deploy/kafka/resolve.mjs'

const root = resolve(import.meta.dirname, '../..')
const templatePath = join(root, 'deploy/kafka/broker.properties')
const log4jPath = join(root, 'deploy/kafka/log4j2.properties')
const clusterId = 'AAAAAAAAAAAAAAAAAAAAAQ'
const startDeadlineMs = 60_000
const stopDeadlineMs = 20_000

export interface KafkaBrokerOptions {
  /** Holds the log, the configuration and the broker's output; survives kill and restart. */
  readonly directory: string
  /** What clients are told to connect to, when a proxy stands before the broker. */
  readonly advertisedPort?: number
  readonly heap?: string
  /** Told the port before the broker is first asked anything, so that a proxy can lead there. */
  readonly onPort?: (port: number) => void
}

/** A real single-node KRaft broker from the jars, on free ports of the loopback interface. */
export class KafkaBroker implements AsyncDisposable {
  readonly port: number
  readonly #directory: string
  readonly #classPath: string
  readonly #heap: string
  #child: ChildProcess | null = null

  constructor(options: { port: number; directory: string; classPath: string; heap: string }) {
    this.port = options.port
    this.#directory = options.directory
    this.#classPath = options.classPath
    this.#heap = options.heap
  }

  get bootstrap(): string {
    return `127.0.0.1:${this.port}`
  }

  get pid(): number {
    const pid = this.#child?.pid
    assert(pid !== undefined, 'the broker runs')
    return pid
  }

  /** Starts the process and waits until it answers. */
  async start(): Promise<void> {
    assert(this.#child === null, 'the broker does not run yet')
    const output = createWriteStream(join(this.#directory, 'broker.log'), { flags: 'a' })
    const child = spawn(
      'java',
      [...javaOptions(this.#heap), '-cp', this.#classPath, 'kafka.Kafka', propertiesPath(this.#directory)],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    )
    child.stdout.pipe(output, { end: false })
    child.stderr.pipe(output, { end: false })
    this.#child = child
    await this.#answers(child)
  }

  async #answers(child: ChildProcess): Promise<void> {
    await using log = await connectReplicationLog({
      brokers: [this.bootstrap],
      clientId: 'start-probe',
      controlDeadlineMs: startDeadlineMs,
      backoffMsMax: 100,
    })
    const died = once(child, 'exit').then(([code]) => {
      throw new Error(`the broker ended with ${code}; see ${join(this.#directory, 'broker.log')}`)
    })
    await Promise.race([log.describeTopic('start-probe'), died])
    died.catch(() => undefined)
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Orderly stop. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  /** The process stays, its connections too, and nothing is answered until `resume`. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP')
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT')
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    const timer = setTimeout(() => child.kill('SIGKILL'), stopDeadlineMs)
    await ended
    clearTimeout(timer)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}

/** Formats a new broker's storage and starts it. */
export async function startKafkaBroker(options: KafkaBrokerOptions): Promise<KafkaBroker> {
  const { directory, heap = '256m' } = options
  const { classpathDirectory } = await resolveKafkaJars({ root, log: () => undefined })
  const classPath = join(classpathDirectory, '*')
  const [port, controllerPort] = await freePorts(2)
  assert(port !== undefined && controllerPort !== undefined, 'two ports were asked for')
  options.onPort?.(port)
  await mkdir(directory, { recursive: true })
  await writeProperties(directory, {
    host: '127.0.0.1',
    port: String(port),
    controllerPort: String(controllerPort),
    advertisedHost: '127.0.0.1',
    advertisedPort: String(options.advertisedPort ?? port),
    logDirectory: join(directory, 'log'),
  })
  const format = ['format', '--ignore-formatted', '-t', clusterId, '-c', propertiesPath(directory)]
  const java = [...javaOptions('128m'), '-cp', classPath, 'kafka.tools.StorageTool', ...format]
  await promisify(execFile)('java', java)
  const broker = new KafkaBroker({ port, directory, classPath, heap })
  await broker.start()
  return broker
}

function javaOptions(heap: string): readonly string[] {
  return [
    `-Xmx${heap}`,
    '-XX:TieredStopAtLevel=1',
    '-XX:+UseSerialGC',
    `-Dlog4j2.configurationFile=${log4jPath}`,
  ]
}

function propertiesPath(directory: string): string {
  return join(directory, 'broker.properties')
}

async function writeProperties(directory: string, values: Readonly<Record<string, string>>): Promise<void> {
  const template = await readFile(templatePath, 'utf8')
  const text = template.replaceAll(/\{\{(\w+)\}\}/g, (placeholder, name: string) => {
    const value = values[name]
    assert(value !== undefined, `${placeholder} has a value`)
    return value
  })
  await writeFile(propertiesPath(directory), text)
}

/** Ports nobody listens on; all are held until the last is found, so they differ. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  const ports: number[] = []
  for (const server of servers) {
    if (!server.listening) await once(server, 'listening')
    const address = server.address()
    assert(typeof address === 'object' && address !== null, 'a TCP server has a port')
    ports.push(address.port)
  }
  for (const server of servers) {
    server.close()
    await once(server, 'close')
  }
  return ports
}
