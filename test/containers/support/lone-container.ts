import { waitFor } from '@blockferry/cli'
import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer, Wait } from 'testcontainers'
import { runLabel } from './clean-up.ts'

interface LoneOptions {
  readonly run: string
  readonly image: string
  /** Settings without the BLOCKFERRY_ prefix. */
  readonly settings: Readonly<Record<string, string>>
  /** Volume name → path. */
  readonly volumes: Readonly<Record<string, string>>
  readonly networkMode?: string
}

/** One service in one container, as hardened as in the compose file: what it says of its trouble is the matter. */
export class LoneContainer implements AsyncDisposable {
  readonly #container: StartedTestContainer

  private constructor(container: StartedTestContainer) {
    this.#container = container
  }

  /** Resolves when its process answers, whatever it answers. */
  static async start(options: LoneOptions): Promise<LoneContainer> {
    const { image, run, settings, volumes } = options
    const variables = Object.entries(settings).map(([name, value]) => [`BLOCKFERRY_${name}`, value])
    const mounts = Object.entries(volumes).map(([source, target]) => ({
      source,
      target,
      mode: 'rw' as const,
    }))
    let container = new GenericContainer(image)
      .withLabels({ [runLabel]: run })
      .withEnvironment(Object.fromEntries(variables))
      .withBindMounts(mounts)
      .withTmpFs({ '/tmp': '' })
      .withDroppedCapabilities('ALL')
      .withExposedPorts(8080)
      .withWaitStrategy(Wait.forHttp('/health/live', 8080))
      .withStartupTimeout(60_000)
    if (options.networkMode !== undefined) container = container.withNetworkMode(options.networkMode)
    return new LoneContainer(await container.start())
  }

  get id(): string {
    return this.#container.getId()
  }

  async get(path: string): Promise<{ readonly status: number; readonly body: string }> {
    const answer = await fetch(`http://127.0.0.1:${this.#container.getMappedPort(8080)}${path}`)
    return { status: answer.status, body: await answer.text() }
  }

  /** Resolves when it is not ready and gives a reason that matches. */
  async unready(reason: RegExp): Promise<void> {
    let last = ''
    const matches = async () => {
      const { status, body } = await this.get('/health/ready')
      last = `${status} ${body}`
      return status === 503 && reason.test(body)
    }
    await waitFor(matches, { what: String(reason), deadlineMs: 60_000, everyMs: 250, explain: () => last })
  }

  async ready(): Promise<void> {
    let last = ''
    const isReady = async () => {
      const { status, body } = await this.get('/health/ready')
      last = `${status} ${body}`
      return status === 200
    }
    await waitFor(isReady, { what: 'ready', deadlineMs: 90_000, everyMs: 250, explain: () => last })
  }

  /** How often the engine had to start it anew: a crash loop would hide the reason. */
  async restarts(): Promise<number> {
    const { dockerode } = (await getContainerRuntimeClient()).container
    const { RestartCount, State } = await dockerode.getContainer(this.id).inspect()
    return RestartCount + (State.Running ? 0 : 1)
  }

  async run(command: string): Promise<void> {
    const { exitCode, output } = await this.#container.exec(['sh', '-c', command])
    if (exitCode !== 0) throw new Error(`${command} ended with ${exitCode}\n${output}`)
  }

  async stop(): Promise<void> {
    await this.#container.stop({ timeout: 15_000, remove: true, removeVolumes: false })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

/** A volume of this run; with `tmpfsBytes` one that is full after so many bytes. */
export async function makeVolume(
  run: string,
  volume: { readonly name: string; readonly tmpfsBytes?: number },
): Promise<string> {
  const { dockerode } = (await getContainerRuntimeClient()).container
  const { name, tmpfsBytes } = volume
  const tmpfs = { type: 'tmpfs', device: 'tmpfs', o: `size=${tmpfsBytes},uid=1000,gid=1000` }
  await dockerode.createVolume({
    Name: `${run}-${name}`,
    Labels: { [runLabel]: run },
    ...(tmpfsBytes === undefined ? {} : { Driver: 'local', DriverOpts: tmpfs }),
  })
  return `${run}-${name}`
}

/** Runs a shell command as root on a volume, mounted at /volume. */
export async function onVolume(options: {
  readonly run: string
  readonly image: string
  readonly volume: string
  readonly command: string
}): Promise<void> {
  const { command, image, run, volume } = options
  await new GenericContainer(image)
    .withLabels({ [runLabel]: run })
    .withUser('root')
    .withEntrypoint(['sh', '-c', command])
    .withBindMounts([{ source: volume, target: '/volume', mode: 'rw' }])
    .withWaitStrategy(Wait.forOneShotStartup())
    .withAutoRemove(false)
    .start()
}
