import { AssertionError } from '@blockferry/runtime'
import { catalogue } from '../error-catalogue.ts'
import type { Disk } from '../disk/disk.ts'
import { haltOf } from '../disk/halt.ts'
import type { ApplierOptions } from '../options.ts'
import type { ApplierDeps } from '../ports.ts'
import type { Volume } from '../volume/volume.ts'

interface Retry {
  readonly notBeforeMs: number
  readonly delayMs: number
}

/** Opens target images, keeps them open, and tries again, ever more slowly, where one is refused (R4). */
export class ImageKeeper {
  readonly #deps: Pick<ApplierDeps, 'clock' | 'targets' | 'logger'>
  readonly #options: ApplierOptions
  readonly #volume: Volume
  readonly #retries = new Map<string, Retry>()

  constructor(
    deps: Pick<ApplierDeps, 'clock' | 'targets' | 'logger'>,
    options: ApplierOptions,
    volume: Volume,
  ) {
    this.#deps = deps
    this.#options = options
    this.#volume = volume
  }

  /** True when a call of `keepOpen` would try to open the image now. */
  wants(disk: Disk): boolean {
    if (disk.image !== null || disk.descriptor === null) return false
    return (this.#retries.get(disk.diskId)?.notBeforeMs ?? 0) <= this.#deps.clock.monotonicMs()
  }

  /** Opens the image unless it is open; what stands against it halts the disk. */
  async keepOpen(disk: Disk): Promise<void> {
    const { descriptor } = disk
    if (!this.wants(disk) || descriptor === null) return
    const { diskId, sizeBytes } = descriptor
    try {
      disk.image = await this.#deps.targets.open({ diskId, sizeBytes, expected: disk.identity })
      disk.identity = disk.image.identity
      this.#retries.delete(diskId)
      this.#volume.clear(disk, 'image')
      this.#deps.logger.info(
        { event: 'image-open', diskId, path: disk.image.path },
        `image of ${diskId} is open`,
      )
    } catch (error) {
      if (error instanceof AssertionError) throw error
      this.#postpone(disk)
      const { nextCommand } = catalogue.TARGET_FAILED
      this.#volume.raise(disk, 'image', haltOf(error, { code: 'TARGET_FAILED', nextCommand, message: '' }))
    }
  }

  /** Closes an image that failed: it is opened afresh, for its page cache may hold what is not on disk. */
  async drop(disk: Disk): Promise<void> {
    const { image } = disk
    if (image === null) return
    disk.image = null
    this.#postpone(disk)
    await image[Symbol.asyncDispose]()
  }

  #postpone(disk: Disk): void {
    const { retryMsMin, retryMsMax } = this.#options
    const before = this.#retries.get(disk.diskId)?.delayMs ?? retryMsMin / 2
    const delayMs = Math.min(before * 2, retryMsMax)
    this.#retries.set(disk.diskId, { delayMs, notBeforeMs: this.#deps.clock.monotonicMs() + delayMs })
  }
}
