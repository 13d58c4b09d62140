import { spawnSync } from 'node:child_process'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ServiceReader } from '@blockferry/cli'
import { waitFor } from '@blockferry/cli'
import { DockerComposeEnvironment, getContainerRuntimeClient } from 'testcontainers'
import { freePorts } from '../../support/kafka-broker.ts'

const composeDirectory = fileURLToPath(new URL('../../../deploy/compose', import.meta.url))

export const services = [
  'kafka-a',
  'kafka-b',
  'wan',
  'mirror-maker',
  'tap-agent',
  'aggregator',
  'applier',
] as const
export type ServiceName = (typeof services)[number]

const portVariables = {
  'tap-agent': 'TAP_AGENT_PORT',
  aggregator: 'AGGREGATOR_PORT',
  applier: 'APPLIER_PORT',
  'mirror-maker': 'MIRROR_MAKER_PORT',
  wan: 'WAN_PORT',
  'kafka-a': 'KAFKA_A_PORT',
  'kafka-b': 'KAFKA_B_PORT',
  nbd: 'NBD_PORT',
} as const
type PortName = keyof typeof portVariables

/** deploy/compose/compose.yaml as one project, brought up by testcontainers and handled by the engine's API. */
export class Deployment implements ServiceReader {
  readonly project: string
  readonly logTail: readonly string[] = []
  readonly #ports: Readonly<Record<PortName, number>>
  readonly #environment: Readonly<Record<string, string>>

  private constructor(project: string, ports: Record<PortName, number>, disks: string) {
    this.project = project
    this.#ports = ports
    const published = Object.entries(portVariables).map(([name, variable]) => {
      return [variable, String(ports[name as PortName])]
    })
    this.#environment = { ...Object.fromEntries(published), IMAGE_PREFIX: project, DISKS: disks }
  }

  /** Chooses ports; brings nothing up yet. Images are PROJECT/SERVICE:TAG. */
  static async prepare(project: string, disks: string): Promise<Deployment> {
    const names = Object.keys(portVariables) as PortName[]
    const free = await freePorts(names.length)
    const ports = Object.fromEntries(names.map((name, index) => [name, free[index] ?? 0]))
    return new Deployment(project, ports as Record<PortName, number>, disks)
  }

  /** Brings services up, all when none is named, and waits until each container of the project is healthy. */
  async up(options: { readonly tag: string; readonly only?: readonly ServiceName[] }): Promise<void> {
    const environment = new DockerComposeEnvironment(composeDirectory, 'compose.yaml')
      .withProjectName(this.project)
      .withEnvironment({ ...this.#environment, IMAGE_TAG: options.tag })
      .withStartupTimeout(180_000)
      .withClientOptions({
        ...composeExecutable(),
        commandOptions: options.only === undefined ? ['--no-build'] : ['--no-build', '--no-deps'],
      })
    await environment.up(options.only === undefined ? undefined : [...options.only])
  }

  port(name: PortName): number {
    return this.#ports[name]
  }

  url(name: PortName): string {
    return `http://127.0.0.1:${this.port(name)}`
  }

  async get<T>(name: PortName, path: string): Promise<T> {
    const answer = await fetch(`${this.url(name)}${path}`)
    if (!answer.ok) throw new Error(`${name} ${path} answered ${answer.status}: ${await answer.text()}`)
    return (await answer.json()) as T
  }

  async setLink(link: { readonly up: boolean }): Promise<void> {
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify(link)
    const answer = await fetch(`${this.url('wan')}/v1/link`, { method: 'PUT', headers, body })
    if (!answer.ok) throw new Error(`the wan container answered ${answer.status}: ${await answer.text()}`)
  }

  /** kill -9, then the container is gone; its volumes stay. */
  async killAndRemove(service: ServiceName): Promise<void> {
    const container = await this.#container(service)
    await container.kill({ signal: 'SIGKILL' })
    await container.remove({ v: false, force: true })
  }

  /** SIGTERM and what comes of it: the exit status and how long it took. */
  async stop(service: ServiceName): Promise<{ readonly exitStatus: number; readonly tookMs: number }> {
    const container = await this.#container(service)
    const startedMs = performance.now()
    await container.stop({ t: 60 })
    const tookMs = performance.now() - startedMs
    const { State } = await container.inspect()
    return { exitStatus: State.ExitCode, tookMs }
  }

  async startAgain(service: ServiceName): Promise<void> {
    await (await this.#container(service)).start()
    await waitFor(async () => (await this.health(service)) === 'healthy', {
      what: `${service} to be healthy again`,
      deadlineMs: 120_000,
      everyMs: 250,
    })
  }

  async health(service: ServiceName): Promise<string> {
    const { State } = await (await this.#container(service)).inspect()
    return State.Health?.Status ?? 'none'
  }

  async imageOf(service: ServiceName): Promise<string> {
    return (await (await this.#container(service)).inspect()).Image
  }

  /** Of each process in a service's container, as this machine's kernel knows it, by its program's name. */
  async pidsOf(service: ServiceName): Promise<ReadonlyMap<string, number>> {
    const container = await this.#container(service)
    const { Processes } = (await container.top({ ps_args: '-eo pid,args' })) as { Processes: string[][] }
    return new Map(
      Processes.map(([pid, command = '']) => [basename(command.split(' ')[0] ?? ''), Number(pid)]),
    )
  }

  /** What a command in a service's container prints; throws when it fails. */
  async run(service: ServiceName, command: readonly string[]): Promise<string> {
    const client = await getContainerRuntimeClient()
    const { output, exitCode } = await client.container.exec(await this.#container(service), [...command])
    if (exitCode !== 0)
      throw new Error(`${command.join(' ')} in ${service} ended with ${exitCode}\n${output}`)
    return output
  }

  /** For a person who looks at a failed test. */
  async recentLogs(): Promise<string> {
    const texts = services.map(async (service) => {
      const lines = (await (await this.#container(service)).logs({ stdout: true, stderr: true, tail: 15 }))
        .toString('utf8')
        .replaceAll(/[^\n\x20-\x7e]/g, '')
      return `--- ${service}\n${lines}`
    })
    const settled = await Promise.allSettled(texts)
    return settled.map((text) => (text.status === 'fulfilled' ? text.value : String(text.reason))).join('\n')
  }

  async #container(service: ServiceName) {
    const { dockerode } = (await getContainerRuntimeClient()).container
    const label = [`com.docker.compose.project=${this.project}`, `com.docker.compose.service=${service}`]
    const [found] = await dockerode.listContainers({ all: true, filters: { label } })
    if (found === undefined) throw new Error(`${this.project} has no container for ${service}`)
    return dockerode.getContainer(found.Id)
  }
}

/** `docker compose` where there is one, else the standalone docker-compose of old. */
function composeExecutable() {
  const hasPlugin = spawnSync('docker', ['compose', 'version'], { stdio: 'ignore' }).status === 0
  return hasPlugin ? {} : { executable: { standalone: true } as const }
}
