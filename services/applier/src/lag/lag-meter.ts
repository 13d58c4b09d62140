import type { Clock } from '@blockferry/runtime'
import { isSamePosition, type Position } from '@blockferry/disk-stream'
import type { Disk } from '../disk/disk.ts'
import { groupStateOf, isOpenable, stateOf } from '../disk/disk-state.ts'
import type { ApplierOptions } from '../options.ts'
import type { Volume } from '../volume/volume.ts'
import { DrainEstimate } from './drain-estimate.ts'
import type { LagSample, SamplePosition } from './lag-sample.ts'
import { lateByMs, shownSourceState, type SourceTimes } from './source-age.ts'
import { stagesOf } from './stages.ts'

/** Age of a moment of the source's clock, in the source's clock; never negative (design §9). */
export function ageMs(momentMs: number, sourceNowMs: number): number {
  return Math.max(0, Math.round(sourceNowMs - momentMs))
}

function place(position: Position | null): SamplePosition | null {
  return position === null ? null : { generation: position.generation, sequence: position.sequence }
}

function laterOf(a: Position | null, b: Position | null): Position | null {
  if (a === null || b === null) return a ?? b
  if (a.generation !== b.generation) return a.generation > b.generation ? a : b
  return a.sequence >= b.sequence ? a : b
}

/** What shrinks while a disk catches up: what is known to be pending; while heartbeats are late, their age. */
interface Drain {
  readonly pendingWrites: DrainEstimate
  readonly lateByMs: DrainEstimate
}

/** Measures every disk's lag (design §9). */
export class LagMeter {
  readonly #clock: Clock
  readonly #options: ApplierOptions
  readonly #volume: Volume
  readonly #drains = new Map<string, Drain>()

  constructor(parts: { readonly clock: Clock; readonly options: ApplierOptions; readonly volume: Volume }) {
    this.#clock = parts.clock
    this.#options = parts.options
    this.#volume = parts.volume
  }

  /** One sample of each disk, by id. */
  samples(): readonly LagSample[] {
    const disks = [...this.#volume.disks.values()].filter(
      (disk) => disk.descriptor !== null || disk.received.applied,
    )
    return disks.toSorted((a, b) => (a.diskId < b.diskId ? -1 : 1)).map((disk) => this.sample(disk))
  }

  sample(disk: Disk): LagSample {
    const { source, groupId } = disk
    const nowMs = this.#clock.wallMs()
    const skew = source?.clockSkew ?? null
    const sourceNowMs = nowMs - (skew?.estimateMs ?? 0)
    const received = disk.received.applied
    const known = laterOf(source?.disk.position ?? null, received)
    const times = this.#times({ sourceNowMs, sourceNowMsMax: sourceNowMs + (skew?.errorMs ?? 0) })
    const lateMs = source === null ? 0 : lateByMs(source, times)
    const pending = this.#pendingOf(disk, { known, lateMs })
    const asOfMs = this.consistentAsOfMs(disk)
    const progress = source?.disk.progress ?? null
    return {
      diskId: disk.diskId,
      groupId,
      ...stateOf(disk),
      recoveryPointAgeMs: asOfMs === null ? null : ageMs(asOfMs, sourceNowMs),
      replicationDelayMs: disk.delays.percentiles(this.#clock.monotonicMs()),
      ...pending,
      stages: stagesOf(disk, times),
      known: place(known),
      received: place(received),
      applied: place(disk.applied.applied),
      consistentAsOf: asOfMs === null ? null : new Date(asOfMs).toISOString(),
      clockSkewMs: skew === null ? null : { estimate: skew.estimateMs, error: skew.errorMs },
      sampledAt: new Date(nowMs).toISOString(),
      etaMs: this.#etaOf(disk, { pendingWrites: pending.pendingWrites, lateMs }),
      source: sourceOf(disk, times),
      groupState: groupId === null ? null : groupStateOf(this.#volume.unitOf(disk)),
      progress: progress === null || !this.#inResync(disk) ? null : progress,
    }
  }

  /**
   * Source time of the newest position that could be opened now; while none can, of the last that could
   * (the age grows). Null before the first. On an idle disk the heartbeat carries it on (S6).
   */
  consistentAsOfMs(disk: Disk): number | null {
    const members = this.#volume.unitOf(disk)
    const openable = members.every(isOpenable) && disk.openableAsOfMs !== null
    if (!openable) return disk.openableAsOfMs
    const carried = members.map((member) => idleAsOfMs(member))
    const idle = carried.every((asOf) => asOf !== null)
    return idle ? Math.max(disk.openableAsOfMs ?? 0, Math.min(...carried)) : disk.openableAsOfMs
  }

  #times(source: Pick<SourceTimes, 'sourceNowMs' | 'sourceNowMsMax'>): SourceTimes {
    const { heartbeatDueMs, sourceSilentMs } = this.#options
    return { ...source, monotonicNowMs: this.#clock.monotonicMs(), heartbeatDueMs, sourceSilentMs }
  }

  /** What was announced and is not here; with late heartbeats also what the source will have numbered since, at its pace. */
  #pendingOf(
    disk: Disk,
    what: { readonly known: Position | null; readonly lateMs: number },
  ): { readonly pendingWrites: number; readonly pendingBytes: number } {
    const received = disk.received.applied
    const { known, lateMs } = what
    if (known === null) return { pendingWrites: 0, pendingBytes: 0 }
    const same = received?.generation === known.generation
    const announced = Math.max(0, known.sequence - (same ? received.sequence : 0))
    const pendingWrites = announced + Math.round(lateMs * disk.pace.eventsPerMs)
    if (pendingWrites === 0) return { pendingWrites, pendingBytes: 0 }
    const estimate = Math.round(pendingWrites * disk.bytesPerEvent)
    return { pendingWrites, pendingBytes: Math.max(estimate, disk.source?.disk.spooledBytes ?? 0) }
  }

  #etaOf(disk: Disk, left: { readonly pendingWrites: number; readonly lateMs: number }): number | null {
    let drain = this.#drains.get(disk.diskId)
    if (drain === undefined) {
      drain = { pendingWrites: new DrainEstimate(), lateByMs: new DrainEstimate() }
      this.#drains.set(disk.diskId, drain)
    }
    const atMs = this.#clock.monotonicMs()
    drain.pendingWrites.note({ atMs, backlog: left.pendingWrites })
    drain.lateByMs.note({ atMs, backlog: left.lateMs })
    if (left.lateMs > 0) return drain.lateByMs.etaMs()
    return left.pendingWrites === 0 ? null : drain.pendingWrites.etaMs()
  }

  #inResync(disk: Disk): boolean {
    return disk.source?.disk.state === 'RESYNCING' || stateOf(disk).state === 'RESYNCING'
  }
}

function sourceOf({ source }: Disk, times: SourceTimes): LagSample['source'] {
  if (source === null) return null
  return { state: shownSourceState(source, times), seenAt: new Date(source.arrivedAtMs).toISOString() }
}

/** What a heartbeat says of an image that already holds everything it knows of; null when it says nothing. */
function idleAsOfMs(disk: Disk): number | null {
  const { source } = disk
  const applied = disk.applied.applied
  const position = source?.disk.position ?? null
  if (source === null || position === null || applied === null || disk.frames.length > 0) return null
  // With the chain: equal numbers of another history say nothing of this image.
  return isSamePosition(position, applied) ? source.disk.consistentAsOfMs : null
}
