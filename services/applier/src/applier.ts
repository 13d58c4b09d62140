import type { ApplierDeps } from './ports.ts'
import { type ApplierOptions, defaultApplierOptions } from './options.ts'
import { ApplyScheduler } from './apply/apply-scheduler.ts'
import { ImageKeeper } from './apply/image-keeper.ts'
import { UnitApplier } from './apply/unit-applier.ts'
import { Receiver } from './receive/receiver.ts'
import { DescriptorFollower } from './receive/descriptor-follower.ts'
import { PositionReporter } from './receive/position-reporter.ts'
import { StreamRequests } from './receive/stream-requests.ts'
import { LagMeter } from './lag/lag-meter.ts'
import { openVolume } from './volume/open-volume.ts'
import type { Volume } from './volume/volume.ts'

/** The applier's logic, on ports: what app.ts serves and what simulation runs. */
export interface Applier extends AsyncDisposable {
  readonly volume: Volume
  readonly lag: LagMeter
  /** For people: where a disk's image is or would be. */
  targetPathOf(diskId: string): string | null
  /** Runs until the signal aborts, then ends orderly. Rejects only on a broken invariant. */
  run(signal: AbortSignal): Promise<void>
}

/**
 * Opens the volume (checkpoint, then the redo journal replayed) and returns the applier, not yet running.
 * Faults: of the checkpoint's slots and of the logs' opening.
 */
export async function createApplier(
  deps: ApplierDeps,
  given: Partial<ApplierOptions> = {},
): Promise<Applier> {
  const options = { ...defaultApplierOptions, ...given }
  const volume = await openVolume(deps, options)
  const { clock } = deps
  const lag = new LagMeter({ clock, options, volume })
  const images = new ImageKeeper(deps, options, volume)
  const applier = new UnitApplier({ volume, images, deps, options })
  const scheduler = new ApplyScheduler({ clock, options, volume, applier, images })
  const requests = new StreamRequests(deps, options)
  const receiver = new Receiver({ volume, requests, deps, options })
  const descriptors = new DescriptorFollower(deps, options, volume)
  const reporter = new PositionReporter(deps, options, volume)
  return {
    volume,
    lag,
    targetPathOf: (diskId) => deps.targets.pathOf(diskId),
    run: (signal) =>
      runTogether(signal, [
        (stop) => receiver.run(stop),
        (stop) => scheduler.run(stop),
        (stop) => descriptors.run(stop),
        (stop) => reporter.run(stop),
        (stop) => requests.run(stop),
        (stop) => checkpointNowAndThen({ volume, clock, everyMs: options.idleCheckpointMs }, stop),
      ]),
    [Symbol.asyncDispose]: async () => {
      for (const disk of volume.disks.values()) await images.drop(disk)
      await volume[Symbol.asyncDispose]()
    },
  }
}

/** While only heartbeats come, the place in Kafka is still made durable now and then (K4). */
async function checkpointNowAndThen(
  parts: { readonly volume: Volume; readonly clock: ApplierDeps['clock']; readonly everyMs: number },
  signal: AbortSignal,
): Promise<void> {
  const { volume, clock, everyMs } = parts
  while (!signal.aborted) {
    await clock.sleep(everyMs, signal)
    await volume.tryCheckpoint()
  }
}

/** Runs the loops until one breaks or all end; a broken one stops the others. */
async function runTogether(
  signal: AbortSignal,
  loops: readonly ((signal: AbortSignal) => Promise<void>)[],
): Promise<void> {
  const broken = new AbortController()
  const stop = AbortSignal.any([signal, broken.signal])
  const run = async (loop: (signal: AbortSignal) => Promise<void>): Promise<void> => {
    try {
      await loop(stop)
    } catch (error) {
      broken.abort()
      throw error
    }
  }
  const ends = await Promise.allSettled(loops.map(run))
  const failed = ends.find((end) => end.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
