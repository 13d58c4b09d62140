import type { ServiceReader } from '../lab-client/service-reader.ts'
import { waitFor } from '../lab-client/wait-for.ts'
import { isDrained, type WatchedSample } from '../demo/lag-watcher.ts'

/*
 * Whether the target holds everything, by the tap's own word. A lag sample alone cannot say so: what it
 * knows of the source is a heartbeat old, and looks drained while the last writes are on their way.
 */

interface TapDiskView {
  readonly diskId: string
  readonly state: string
  readonly position: { readonly generation: number; readonly sequence: number } | null
}

export interface DrainOptions {
  /** Default two minutes. */
  readonly deadlineMs?: number
  readonly everyMs?: number
}

export async function readLag(lab: ServiceReader): Promise<readonly WatchedSample[]> {
  const { disks } = await lab.get<{ disks: readonly WatchedSample[] }>('applier', '/v1/lag')
  return disks
}

/** Drained: every disk's image holds what the tap numbered last. */
export function waitForDrained(lab: ServiceReader, options: DrainOptions = {}): Promise<void> {
  const holds = (disk: TapDiskView, sample: WatchedSample) =>
    disk.state === 'STREAMING' && isDrained(sample) && reaches(sample.applied, disk)
  return waitForAll(lab, { ...options, what: 'every disk to be drained', holds })
}

/** Received: every disk's redo journal holds what the tap numbered last. */
export function waitForReceived(lab: ServiceReader, options: DrainOptions = {}): Promise<void> {
  const holds = (disk: TapDiskView, sample: WatchedSample) => reaches(sample.received, disk)
  return waitForAll(lab, { ...options, what: 'the target to have received everything', holds })
}

function reaches(place: WatchedSample['applied'], { position }: TapDiskView): boolean {
  if (place === null || position === null) return false
  return place.generation === position.generation && place.sequence === position.sequence
}

interface Awaited extends DrainOptions {
  readonly what: string
  readonly holds: (disk: TapDiskView, sample: WatchedSample) => boolean
}

async function waitForAll(
  lab: ServiceReader,
  { what, holds, deadlineMs = 120_000, everyMs = 200 }: Awaited,
): Promise<void> {
  const all = async () => {
    const { disks } = await lab.get<{ disks: readonly TapDiskView[] }>('tap-agent', '/v1/disks')
    const samples = await readLag(lab)
    return disks.every((disk) => {
      const sample = samples.find((candidate) => candidate.diskId === disk.diskId)
      return sample !== undefined && holds(disk, sample)
    })
  }
  const explain = async () => {
    const taps = await lab.get('tap-agent', '/v1/disks').catch(String)
    const lags = await readLag(lab).catch(String)
    return `tap: ${JSON.stringify(taps)}\napplier: ${JSON.stringify(lags)}\n${lab.logTail.slice(-40).join('\n')}`
  }
  await waitFor(all, { what, deadlineMs, everyMs, explain })
}
