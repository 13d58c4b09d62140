import type { ApplierDeps } from './ports.ts'
import { type ApplierOptions, defaultApplierOptions } from './options.ts'
import { ApplyScheduler } from './apply/apply-scheduler.ts'
import { ImageKeeper } from './apply/image-keeper.ts'
import { UnitApplier } from './apply/unit-applier.ts'
import { KafkaSessions } from './kafka/kafka-sessions.ts'
import { MirrorWatch } from './receive/mirror-watch.ts'
import { Receiver } from './receive/receiver.ts'
import { DescriptorFollower } from './receive/descriptor-follower.ts'
import { PositionReporter } from './receive/position-reporter.ts'
import { StreamRequests } from './receive/stream-requests.ts'
import { LagMeter } from './lag/lag-meter.ts'
import { runTogether } from './run-together.ts'
import { openVolume } from './volume/open-volume.ts'
import type { Volume } from './volume/volume.ts'

/** The applier's logic, on ports: what app.ts serves and what simulation runs. */
export interface Applier extends AsyncDisposable {
  readonly volume: Volume
  readonly lag: LagMeter
  /** For people: why nothing is received, or not from every partition. */
  receiveTroubles(): readonly string[]
  /** For people: where a disk's image is or would be. */
  targetPathOf(diskId: string): string | null
  /**
   * Runs until the signal aborts, then ends orderly. Rejects on a broken invariant, and when the topics are not
   * as they should be at the start (TOPIC_MISMATCH).
   */
  run(signal: AbortSignal): Promise<void>
}

/**
 * Opens the volume (checkpoint, then the redo journal replayed) and returns the applier, not yet running.
 * Faults: of the checkpoint's slots and of the logs' opening. A checkpoint that cannot be written is no fault: `run` waits for it.
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
  const watch = new MirrorWatch({ clock, options, volume })
  const receiver = new Receiver({ volume, requests, watch, deps, options })
  const descriptors = new DescriptorFollower(deps, options, volume)
  const reporter = new PositionReporter(deps, options, volume)
  const sessions = new KafkaSessions(deps, options, {
    onLost: (error) => watch.lost(error),
    loopsOf: (session) => [
      async (stop) => {
        await untilCheckpointed({ volume, clock, everyMs: options.retryMsMax }, stop)
        await receiver.run(session, stop)
      },
      (stop) => descriptors.run(session, stop),
      (stop) => reporter.run(session, stop),
      (stop) => requests.run(session, stop),
    ],
  })
  return {
    volume,
    lag,
    receiveTroubles: () => watch.explanations,
    targetPathOf: (diskId) => deps.targets.pathOf(diskId),
    run: (signal) =>
      runTogether(signal, [
        (stop) => sessions.run(stop),
        (stop) => watch.run(stop),
        (stop) => scheduler.run(stop),
        (stop) => checkpointNowAndThen({ volume, clock, everyMs: options.idleCheckpointMs }, stop),
      ]),
    [Symbol.asyncDispose]: async () => {
      for (const disk of volume.disks.values()) await images.drop(disk)
      await volume[Symbol.asyncDispose]()
    },
  }
}

/** V3: nothing new is acknowledged before a checkpoint of what was found is durable. Ends when it is, or on abort. */
async function untilCheckpointed(
  parts: { readonly volume: Volume; readonly clock: ApplierDeps['clock']; readonly everyMs: number },
  signal: AbortSignal,
): Promise<void> {
  const { volume, clock, everyMs } = parts
  while (!volume.isCheckpointed && !signal.aborted) {
    await clock.sleep(everyMs, signal)
    await volume.tryCheckpoint()
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
