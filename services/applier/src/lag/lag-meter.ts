import type { Clock } from '@blockferry/runtime'
import type { Position } from '@blockferry/disk-stream'
import type { Disk } from '../disk/disk.ts'
import { groupStateOf, isOpenable, stateOf } from '../disk/disk-state.ts'
import type { ApplierOptions } from '../options.ts'
import type { Volume } from '../volume/volume.ts'
import { DrainEstimate } from './drain-estimate.ts'
import type { LagSample, SamplePosition } from './lag-sample.ts'
import { type StageTimes, stagesOf } from './stages.ts'

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

/** Measures every disk's lag (design §9). */
export class LagMeter {
  readonly #clock: Clock
  readonly #options: ApplierOptions
  readonly #volume: Volume
  readonly #drains = new Map<string, DrainEstimate>()

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
    const pending = this.#pendingOf(disk, known)
    const asOfMs = this.consistentAsOfMs(disk)
    const progress = source?.disk.progress ?? null
    return {
      diskId: disk.diskId,
      groupId,
      ...stateOf(disk),
      recoveryPointAgeMs: asOfMs === null ? null : ageMs(asOfMs, sourceNowMs),
      replicationDelayMs: disk.delays.percentiles(this.#clock.monotonicMs()),
      ...pending,
      stages: stagesOf(disk, this.#times(sourceNowMs)),
      known: place(known),
      received: place(received),
      applied: place(disk.applied.applied),
      consistentAsOf: asOfMs === null ? null : new Date(asOfMs).toISOString(),
      clockSkewMs: skew === null ? null : { estimate: skew.estimateMs, error: skew.errorMs },
      sampledAt: new Date(nowMs).toISOString(),
      etaMs: this.#etaOf(disk, pending.pendingWrites),
      source: this.#sourceOf(disk),
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

  #times(sourceNowMs: number): StageTimes {
    return {
      sourceNowMs,
      monotonicNowMs: this.#clock.monotonicMs(),
      sourceSilentMs: this.#options.sourceSilentMs,
    }
  }

  #pendingOf(
    disk: Disk,
    known: Position | null,
  ): { readonly pendingWrites: number; readonly pendingBytes: number } {
    const received = disk.received.applied
    if (known === null) return { pendingWrites: 0, pendingBytes: 0 }
    const same = received?.generation === known.generation
    const pendingWrites = Math.max(0, known.sequence - (same ? received.sequence : 0))
    if (pendingWrites === 0) return { pendingWrites, pendingBytes: 0 }
    const estimate = Math.round(pendingWrites * disk.bytesPerEvent)
    return { pendingWrites, pendingBytes: Math.max(estimate, disk.source?.disk.spooledBytes ?? 0) }
  }

  #etaOf(disk: Disk, pendingWrites: number): number | null {
    let drain = this.#drains.get(disk.diskId)
    if (drain === undefined) {
      drain = new DrainEstimate()
      this.#drains.set(disk.diskId, drain)
    }
    drain.note({ atMs: this.#clock.monotonicMs(), backlog: pendingWrites })
    return pendingWrites === 0 ? null : drain.etaMs()
  }

  /** A source that fell silent is not shown in the state it was in. */
  #sourceOf(disk: Disk): LagSample['source'] {
    const { source } = disk
    if (source === null) return null
    const silent = this.#clock.monotonicMs() - source.arrivedMonotonicMs > this.#options.sourceSilentMs
    return {
      state: silent ? 'SILENT' : source.disk.state,
      seenAt: new Date(source.arrivedAtMs).toISOString(),
    }
  }

  #inResync(disk: Disk): boolean {
    return disk.source?.disk.state === 'RESYNCING' || stateOf(disk).state === 'RESYNCING'
  }
}

/** What a heartbeat says of an image that already holds everything it knows of; null when it says nothing. */
function idleAsOfMs(disk: Disk): number | null {
  const { source } = disk
  const applied = disk.applied.applied
  const position = source?.disk.position ?? null
  if (source === null || position === null || applied === null || disk.frames.length > 0) return null
  const same = position.generationId === applied.generationId && position.sequence === applied.sequence
  return same ? source.disk.consistentAsOfMs : null
}
