import { codeOf } from '@blockferry/runtime'
import type { BlockDevice } from '@blockferry/storage'
import { catalogue } from '../error-catalogue.ts'
import type { ControlStore } from './control-store.ts'
import type { TapDiskDeps, TapDiskOptions } from './disk-ports.ts'
import type { GuestPath } from './guest-path.ts'
import { retried } from './patience.ts'
import { openSource } from './source.ts'

const reopenMsMin = 1_000
const reopenMsMax = 30_000

export interface StorageFailure {
  /** Why the disk is FAILED, as people see it. */
  readonly code: string
  /** What the guest gets: its storage's own error. */
  readonly cause: unknown
}

export interface ServedSourceDeps {
  readonly disk: TapDiskDeps
  readonly options: TapDiskOptions
  readonly control: ControlStore
  readonly signal: AbortSignal
  readonly onTrouble: (error: unknown) => void
}

/** The source that a disk is served from, and what has failed about it. */
export class ServedSource {
  readonly #deps: ServedSourceDeps
  #device: BlockDevice
  #failure: StorageFailure | null = null

  constructor(deps: ServedSourceDeps, device: BlockDevice) {
    this.#deps = deps
    this.#device = device
  }

  get device(): BlockDevice {
    return this.#device
  }

  get failure(): StorageFailure | null {
    return this.#failure
  }

  /** True for the first error since the source was opened. */
  fail(cause: unknown): boolean {
    if (this.#failure !== null) return false
    this.#failure = { code: 'LOCAL_STORAGE_FAILED', cause }
    return true
  }

  /** FAILED: reads pass until the storage is opened anew, page cache dropped, with back-off (T7). False when closed first. */
  async reopened(path: GuestPath): Promise<boolean> {
    const { onTrouble, signal } = this.#deps
    const { clock } = this.#deps.disk
    await clock.sleep(reopenMsMin, signal)
    if (signal.aborted) return false
    const isOpen = await retried(() => this.#openAgain(path), {
      clock,
      signal,
      retryMsMin: 2 * reopenMsMin,
      retryMsMax: reopenMsMax,
      onError: (error) => {
        if (signal.aborted && error === signal.reason) return
        onTrouble(error)
        this.#showCode(codeOf(error))
      },
    })
    if (isOpen) this.#failure = null
    return isOpen
  }

  /** Another file in the source's place is owed whole, as everything is in AHEAD; it is remembered as the one served. */
  async #openAgain(path: GuestPath): Promise<void> {
    const { control, disk, signal } = this.#deps
    path.setDevice(null)
    await this.#device.close()
    // A stop does not wait for a close that hangs, nor for what opens slowly: whatever comes after it is too late.
    signal.throwIfAborted()
    const known = control.current.source
    const { device, isReplaced, source } = await openSource(disk.openDevice, { known, mayCreate: false })
    if (signal.aborted) await device.close()
    signal.throwIfAborted()
    this.#device = device
    if (isReplaced) await control.update({ source, aheadCode: 'SOURCE_REPLACED' })
    path.setDevice(device)
    await device.flush()
  }

  /** A source that is gone, resized, locked … says so; whatever else it says is a failed storage. */
  #showCode(found: string): void {
    const code = found in catalogue ? found : 'LOCAL_STORAGE_FAILED'
    if (this.#failure === null || this.#failure.code === code) return
    this.#failure = { ...this.#failure, code }
    this.#deps.disk.observer?.stateChanged?.({ diskId: this.#deps.options.diskId, state: 'FAILED', code })
  }
}
