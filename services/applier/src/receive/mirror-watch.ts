import { type Clock, codeOf, explanationOf, Fault } from '@blockferry/runtime'
import { catalogue } from '../error-catalogue.ts'
import type { Disk } from '../disk/disk.ts'
import { type Halt, haltOf } from '../disk/halt.ts'
import { applierFault } from '../faults.ts'
import type { ApplierOptions } from '../options.ts'
import type { Volume } from '../volume/volume.ts'

/** How often lasting trouble is looked at. */
const showMs = 1_000

interface Trouble {
  readonly error: unknown
  /** Monotonic: since when nothing was read. */
  readonly sinceMs: number
  /** How long the partition is left alone after its newest failure, and until when. */
  readonly restMs: number
  readonly restUntilMs: number
}

/** What passes by itself, or with a new client: users see one code for it. Anything else shows its own. */
const unreadable: ReadonlySet<string> = new Set([
  'KAFKA_UNREACHABLE',
  'KAFKA_TIMEOUT',
  'TOPIC_UNKNOWN',
  'TOPIC_RECREATED',
  'LOG_CLOSED',
])

/**
 * Which partitions of the mirror cannot be read, and since when. Invariants:
 *
 * MW1  A partition that fails rests, ever longer, and is left out of fetches meanwhile: it costs the others
 *      nothing (E2).
 * MW2  Once nothing was read for `mirrorUnreadableMs`, its disks are HALTED with a code: what they show of the
 *      source may be long untrue.
 */
export class MirrorWatch {
  readonly #clock: Clock
  readonly #options: ApplierOptions
  readonly #volume: Volume
  readonly #troubles = new Map<number, Trouble>()
  /** While no client works at all: so it is at the start. */
  #lost: Trouble | null

  constructor(parts: { readonly clock: Clock; readonly options: ApplierOptions; readonly volume: Volume }) {
    this.#clock = parts.clock
    this.#options = parts.options
    this.#volume = parts.volume
    this.#lost = this.#again(null, applierFault('MIRROR_UNREADABLE', 'Kafka B has not answered yet'))
  }

  /** MW2, while time passes and nothing else happens. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#show()
      await this.#clock.sleep(showMs, signal)
    }
  }

  /** Kafka B cannot be used at all. */
  lost(error: unknown): void {
    this.#lost = this.#again(this.#lost, error)
    this.#show()
  }

  /** A client works: each partition has yet to be read. */
  opened(partitions: number): void {
    const lost = this.#lost
    this.#lost = null
    for (let kafkaPartition = 0; kafkaPartition < partitions; kafkaPartition += 1) {
      const trouble = this.#troubles.get(kafkaPartition) ?? lost
      if (trouble !== null) this.#troubles.set(kafkaPartition, { ...trouble, restMs: 0, restUntilMs: 0 })
    }
    this.#show()
  }

  /** For people: what cannot be read now, and why. */
  get explanations(): readonly string[] {
    if (this.#lost !== null) return [explanationOf(this.#lost.error)]
    return [...this.#troubles].map(([kafkaPartition, { error }]) => {
      return `partition ${kafkaPartition}: ${explanationOf(error)}`
    })
  }

  /** True when this is news: the first failure of the partition since it was read, or one of another kind. */
  failed(kafkaPartition: number, error: unknown): boolean {
    const before = this.#troubles.get(kafkaPartition) ?? null
    this.#troubles.set(kafkaPartition, this.#again(before, error))
    return before === null || codeOf(before.error) !== codeOf(error)
  }

  /** The partition was read. */
  read(kafkaPartition: number): void {
    if (this.#troubles.delete(kafkaPartition)) this.#show()
  }

  isResting(kafkaPartition: number): boolean {
    const trouble = this.#troubles.get(kafkaPartition)
    return trouble !== undefined && this.#clock.monotonicMs() < trouble.restUntilMs
  }

  /** Shows what has lasted too long, and clears what is over. */
  #show(): void {
    for (const disk of this.#volume.disks.values()) {
      const trouble = this.#lost ?? this.#troubles.get(partitionOf(disk) ?? -1)
      const isLong = trouble !== undefined && this.#lasted(trouble) >= this.#options.mirrorUnreadableMs
      if (isLong) this.#volume.raise(disk, 'mirror', haltFor(trouble.error))
      else if (trouble === undefined && disk.haltedBy('mirror') !== null) this.#volume.clear(disk, 'mirror')
    }
  }

  #lasted(trouble: Trouble): number {
    return this.#clock.monotonicMs() - trouble.sinceMs
  }

  #again(before: Trouble | null, error: unknown): Trouble {
    const { retryMsMin, retryMsMax } = this.#options
    const nowMs = this.#clock.monotonicMs()
    const restMs = Math.min(retryMsMax, Math.max(retryMsMin, (before?.restMs ?? 0) * 2))
    return { error, sinceMs: before?.sinceMs ?? nowMs, restMs, restUntilMs: nowMs + restMs }
  }
}

function partitionOf(disk: Disk): number | null {
  return disk.parked?.kafkaPartition ?? disk.kafkaPartition ?? disk.descriptor?.kafkaPartition ?? null
}

function haltFor(error: unknown): Halt {
  const { nextCommand } = catalogue.MIRROR_UNREADABLE
  const halt = haltOf(error, { code: 'MIRROR_UNREADABLE', nextCommand, message: '' })
  const isOwn = error instanceof Fault && !unreadable.has(error.code)
  return isOwn ? halt : { code: 'MIRROR_UNREADABLE', nextCommand, message: halt.message }
}
