import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CleanUp } from '../../test/containers/support/clean-up.ts'
import { Deployment, services } from '../../test/containers/support/deployment.ts'
import { buildImages } from '../../test/containers/support/images.ts'
import { createRandomImage, diskBytes } from './bench-lab.ts'
import { WatchedLab } from './watched-lab.ts'

const project = `blockferry-bench-${process.pid}`
const tag = 'bench'

/** deploy/compose with one disk, filled through the published NBD port, and drained. */
export class ContainerLab extends WatchedLab implements AsyncDisposable {
  readonly #deployment: Deployment
  readonly #cleanUp: CleanUp

  private constructor(deployment: Deployment, cleanUp: CleanUp) {
    super(deployment)
    this.#deployment = deployment
    this.#cleanUp = cleanUp
  }

  static async start(): Promise<ContainerLab> {
    const cleanUp = new CleanUp(project)
    try {
      await buildImages({ prefix: project, tag, version: '0.0.0' })
      const disks = `id=vda,source=/disks/vda.raw,size=${diskBytes}`
      const lab = new ContainerLab(await Deployment.prepare(project, disks), cleanUp)
      await lab.#deployment.up({ tag })
      await lab.#fill()
      return lab
    } catch (error) {
      await cleanUp[Symbol.asyncDispose]()
      throw error
    }
  }

  async #fill(): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), 'blockferry-bench-'))
    try {
      const image = join(directory, 'random.raw')
      await createRandomImage(image)
      await promisify(execFile)('nbdcopy', [image, this.uri], { timeout: 300_000 })
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
    await this.drained(300_000)
  }

  get uri(): string {
    return `nbd://127.0.0.1:${this.#deployment.port('nbd')}/vda`
  }

  /** Of every process of every service: "applier node", "mirror-maker java". */
  async pids(): Promise<Readonly<Record<string, number>>> {
    const pids: Record<string, number> = {}
    for (const service of services) {
      for (const [command, pid] of await this.#deployment.pidsOf(service)) pids[`${service} ${command}`] = pid
    }
    return pids
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanUp[Symbol.asyncDispose]()
  }
}
