import { DirtyRegions } from '../dirty-regions.ts'
import type { Extent, RecoveryPointEvent } from '../event.ts'
import type { Generation, GenerationBase, GenerationReason } from '../generation.ts'
import type { Position } from '../position.ts'
import type { Choose } from './choose.ts'
import { StreamModel } from './stream-model.ts'

export const modelDiskBytes = 64
const regionBytes = 4
export const modelSite = 'site-a'
export const modelAgentId = 'agent-1'

/** A random-looking generation id that is the same in each run. */
export function modelId(number: number): string {
  return number.toString(16).padStart(32, '0')
}

export function recoveryPoint(
  options: Partial<RecoveryPointEvent> & { readonly cutId: string },
): RecoveryPointEvent {
  return {
    kind: 'recoveryPoint',
    capturedAtMs: 0,
    groupId: null,
    members: ['vda'],
    name: null,
    requestId: null,
    wallTimeMs: 0,
    ...options,
  }
}

/**
 * A tap, reduced to what decides the stream: it writes, cuts, loses continuity, mints generations of every
 * base, resyncs what is owed while the guest goes on writing (S2, S8, T6), and never owes too little.
 */
export class ModelSource {
  readonly model: StreamModel
  readonly #choose: Choose
  #owed = new DirtyRegions({ sizeBytes: modelDiskBytes, regionBytes })
  #resyncing = false
  #stamp = 1

  constructor(choose: Choose) {
    this.#choose = choose
    const bytes = Buffer.from(Array.from({ length: modelDiskBytes }, (_, index) => index + 1))
    this.model = new StreamModel({ diskId: 'vda', bytes })
    this.startFullResync()
  }

  /** One step of the guest, the sync, or the agent. */
  step(): void {
    const roll = this.#choose(20)
    if (roll < 8) this.#write()
    else if (roll < 11) this.#zero()
    else if (roll < 14) this.#mark()
    else if (roll < 19 || this.model.end.sequence === 0) this.#syncSome()
    else this.#newGeneration()
  }

  /** Ends a running resync with a last mark: the stream's end is a place where source and target must be equal. */
  finish(): void {
    while (this.#resyncing) this.#syncSome()
    this.#mark()
  }

  startFullResync(): void {
    this.#owed.markAll()
    this.#begin({ reason: 'resync', base: { kind: 'full' } })
    this.#resyncing = true
  }

  #write(): void {
    const extent = this.#extent()
    this.model.write(extent.byteOffset, this.#data(extent.byteLength))
  }

  #zero(): void {
    this.model.append({ kind: 'zero', capturedAtMs: 0, mayUnmap: this.#choose(2) === 0, ...this.#extent() })
  }

  #mark(): void {
    if (this.#choose(3) === 0) {
      this.model.append({ kind: 'geometry', capturedAtMs: 0, sizeBytes: modelDiskBytes })
    } else this.model.append(recoveryPoint({ cutId: modelId(this.#choose(1000)) }))
  }

  #syncSome(): void {
    if (!this.#resyncing) return
    const run = this.#owed.nextRun(0, 16)
    if (run === null) {
      this.model.append({ kind: 'resyncDone', capturedAtMs: 0 })
      this.#resyncing = false
      return
    }
    this.model.syncRead(run)
    this.#owed.clear(run)
  }

  #newGeneration(): void {
    const kind = this.#choose(3)
    if (kind === 0 && !this.#resyncing) {
      this.#begin({ reason: 'owner-changed', base: { kind: 'none' } })
      return
    }
    this.#goAhead()
    if (kind === 1) this.startFullResync()
    else this.#startResyncFrom(this.#evictedThrough())
  }

  /** AHEAD (T7): writes that have no number, remembered by region only. */
  #goAhead(): void {
    for (let left = this.#choose(4); left > 0; left -= 1) {
      const extent = this.#extent()
      this.model.writeUnnumbered(extent.byteOffset, this.#data(extent.byteLength))
      this.#owed.mark(extent)
    }
  }

  /** Some position of the stream up to which the spool has gone (T6). */
  #evictedThrough(): Position {
    const numbers = this.model.generations.map((generation) => generation.number)
    const number = numbers[Math.max(0, numbers.length - 1 - this.#choose(2))]!
    const count = this.model.eventsOf(number).length
    return this.model.positionAt(number, count - this.#choose(count + 1))
  }

  #startResyncFrom(base: Position): void {
    for (const { number } of this.model.generations) {
      if (number < base.generation) continue
      for (const { event, sequence } of this.model.eventsOf(number)) {
        const beforeBase = number === base.generation && sequence <= base.sequence
        if (!beforeBase && (event.kind === 'write' || event.kind === 'zero')) this.#owed.mark(event)
      }
    }
    this.#begin({ reason: 'resync', base: { kind: 'position', position: base } })
    this.#resyncing = true
  }

  #begin(options: { readonly reason: GenerationReason; readonly base: GenerationBase }): void {
    const number = this.model.generations.length + 1
    this.#stamp += this.#choose(3)
    const generation: Generation = {
      number,
      id: modelId(number),
      ownerSite: modelSite,
      predecessor: number === 1 ? null : this.model.end,
      stamp: { agentId: modelAgentId, counter: this.#stamp },
      ...options,
    }
    this.model.begin(generation)
  }

  #extent(): Extent {
    const byteOffset = this.#choose(modelDiskBytes)
    return { byteOffset, byteLength: 1 + this.#choose(Math.min(16, modelDiskBytes - byteOffset)) }
  }

  #data(byteLength: number): Buffer {
    return Buffer.alloc(byteLength, 1 + this.#choose(255))
  }
}
