import type { Clock } from '@blockferry/runtime'
import { type Heartbeat, type HeartbeatDisk, noteStamp, type Position } from '@blockferry/disk-stream'
import type { Disk, SourceView } from '../disk/disk.ts'
import type { ApplierOptions } from '../options.ts'
import type { Volume } from '../volume/volume.ts'
import { divergenceOf } from './diverged-heartbeat.ts'
import type { GapHealer } from './gap-healer.ts'
import type { ReceiveBatch } from './receive-batch.ts'

/** Events that Kafka A acknowledged before a heartbeat, and that have not arrived since. */
interface Overdue {
  readonly generation: number
  readonly generationId: string
  readonly sequence: number
  /** What was received when the wait began: any progress begins it anew, for the rest is on its way. */
  readonly received: Position | null
  readonly sinceMs: number
}

/**
 * Heartbeats say how far the source is (A2): what they announce and what does not come is a gap, even if
 * no later set shows it.
 */
export class Heartbeats {
  readonly #clock: Clock
  readonly #options: ApplierOptions
  readonly #volume: Volume
  readonly #healer: GapHealer
  readonly #overdue = new Map<Disk, Overdue>()

  constructor(parts: {
    readonly clock: Clock
    readonly options: ApplierOptions
    readonly volume: Volume
    readonly healer: GapHealer
  }) {
    this.#clock = parts.clock
    this.#options = parts.options
    this.#volume = parts.volume
    this.#healer = parts.healer
  }

  /** Notes a heartbeat in the batch; one that is older than what is known says nothing (K5). */
  observe(batch: ReceiveBatch, heartbeat: Heartbeat): void {
    for (const line of heartbeat.disks) {
      if (!this.#volume.isOurs(line.diskId)) continue
      const disk = this.#volume.disk(line.diskId)
      const known = batch.sources.get(disk) ?? disk.source
      if (known !== null && !isNewer(heartbeat, known)) continue
      batch.sources.set(disk, this.#viewOf(heartbeat, line))
      if (line.position === null) continue
      const seen = { ...heartbeat.stamp, generation: line.position.generation }
      batch.setLineage(disk, noteStamp(batch.lineageOf(disk), seen))
    }
  }

  /** The batch is durable: its heartbeats count. */
  take(batch: ReceiveBatch): void {
    for (const [disk, source] of batch.sources) {
      disk.source = source
      disk.pace.note(source.sourceTimeMs, source.disk.position)
      this.#watch(disk, source)
      this.#compare(disk, source)
      // Nothing is missing: a record that could not be read did not belong to this disk.
      const { position } = source.disk
      const whole = position !== null && holdsThrough(disk, position)
      if (whole && !this.#healer.isHealing(disk)) this.#volume.clear(disk, 'record')
    }
  }

  /** Disks whose announced events stayed away too long: each is to be treated as a GAP. */
  overdue(): readonly Disk[] {
    const nowMs = this.#clock.monotonicMs()
    const found: Disk[] = []
    for (const [disk, overdue] of this.#overdue) {
      // It came, and no heartbeat since to say so: a cut link brings neither.
      if (holdsThrough(disk, overdue)) {
        this.#overdue.delete(disk)
        continue
      }
      const received = disk.received.applied
      if (overdue.received !== received) {
        this.#overdue.set(disk, { ...overdue, received, sinceMs: nowMs })
        continue
      }
      if (disk.parked !== null || this.#healer.healingOf(disk) >= overdue.generation) continue
      if (nowMs - overdue.sinceMs >= this.#options.overdueMs) found.push(disk)
    }
    return found
  }

  /** What an overdue disk lacks, as the apply rule would put it. */
  missingOf(disk: Disk): {
    readonly generation: number
    readonly generationId: string
    readonly fromSequence: number
  } {
    const overdue = this.#overdue.get(disk)
    const { current, applied } = disk.received
    const inCurrent = overdue === undefined || overdue.generationId === current?.id
    const generation = inCurrent ? (current?.number ?? 0) : overdue.generation
    const generationId = inCurrent ? (current?.id ?? '') : overdue.generationId
    return { generation, generationId, fromSequence: inCurrent ? (applied?.sequence ?? 0) + 1 : 1 }
  }

  /** A2. */
  #compare(disk: Disk, { disk: { position } }: SourceView): void {
    if (position === null) return
    const verdict = divergenceOf(disk.received.applied, position)
    const { generation } = position
    if (verdict !== null) this.#healer.onHalt(disk, { verdict, generation, reread: false })
  }

  #viewOf(heartbeat: Heartbeat, disk: HeartbeatDisk): SourceView {
    const { agentId, stamp, sourceTimeMs, clockSkew } = heartbeat
    return {
      agentId,
      disk,
      stampCounter: stamp.counter,
      sourceTimeMs,
      arrivedAtMs: this.#clock.wallMs(),
      arrivedMonotonicMs: this.#clock.monotonicMs(),
      clockSkew,
    }
  }

  #watch(disk: Disk, source: SourceView): void {
    const { position, spooledEvents } = source.disk
    const waiting = this.#overdue.get(disk)
    if (waiting !== undefined && holdsThrough(disk, waiting)) this.#overdue.delete(disk)
    if (position === null) return
    // A newer generation has a wait of its own: what is missing of the older one may never come.
    if ((this.#overdue.get(disk)?.generation ?? 0) >= position.generation) return
    const shipped = position.sequence - spooledEvents
    const { generation, generationId } = position
    if (shipped <= 0 || holdsThrough(disk, { generation, sequence: shipped })) return
    this.#overdue.set(disk, {
      generation,
      generationId,
      sequence: shipped,
      received: disk.received.applied,
      sinceMs: this.#clock.monotonicMs(),
    })
  }
}

/** Stamps only grow, source time may jump: the stamp decides first. */
function isNewer(heartbeat: Heartbeat, known: SourceView): boolean {
  if (heartbeat.agentId !== known.agentId) return heartbeat.sourceTimeMs > known.sourceTimeMs
  const { counter } = heartbeat.stamp
  if (counter !== known.stampCounter) return counter > known.stampCounter
  return heartbeat.sourceTimeMs > known.sourceTimeMs
}

function holdsThrough(disk: Disk, position: Pick<Position, 'generation' | 'sequence'>): boolean {
  const { applied } = disk.received
  if (applied === null) return false
  if (applied.generation !== position.generation) return applied.generation > position.generation
  return applied.sequence >= position.sequence
}
