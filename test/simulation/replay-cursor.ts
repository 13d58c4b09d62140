import type { Position } from '@blockferry/disk-stream'
import { assert } from '@blockferry/runtime'
import type { StreamRecord } from './stream-record.ts'

/**
 * What a disk holds at a position of its stream: every event of the generation up to there, applied one by
 * one to a disk full of rubbish. A full generation whose `resyncDone` has passed leaves none of it.
 */
export class ReplayCursor {
  readonly #record: StreamRecord
  #bytes: Buffer
  #generationId = ''
  #sequence = 0
  #revision = -1
  #resyncDone = false

  constructor(record: StreamRecord) {
    this.#record = record
    this.#bytes = Buffer.alloc(0)
  }

  /** True when the position lies behind its generation's `resyncDone`. */
  isWhole(position: Position): boolean {
    this.#moveTo(position)
    return this.#resyncDone
  }

  /** A view: valid until the next call. */
  bytesAt(position: Position): Buffer {
    this.#moveTo(position)
    return this.#bytes
  }

  #moveTo(position: Position): void {
    const { diskId, eras, revision, sizeBytes } = this.#record
    const era = eras.get(position.generationId)
    assert(era !== undefined, `${diskId}: nobody numbered generation ${position.generation}`)
    assert(position.sequence <= era.events.length, `${diskId}: nobody numbered ${position.sequence}`)
    const last = era.events[position.sequence - 1]
    assert(last === undefined || last.chain === position.chain, `${diskId}: chain of ${position.sequence}`)
    const goesOn = this.#generationId === position.generationId && this.#sequence <= position.sequence
    if (!goesOn || this.#revision !== revision) {
      this.#bytes = Buffer.alloc(sizeBytes, 0xee)
      this.#sequence = 0
      this.#resyncDone = false
    }
    this.#generationId = position.generationId
    this.#revision = revision
    while (this.#sequence < position.sequence) {
      const entry = era.events[this.#sequence]
      this.#sequence += 1
      if (entry === undefined) continue
      const { data, event } = entry
      if (event.kind === 'write') data.copy(this.#bytes, event.byteOffset)
      if (event.kind === 'zero') this.#bytes.fill(0, event.byteOffset, event.byteOffset + event.byteLength)
      if (event.kind === 'resyncDone') this.#resyncDone = true
    }
  }
}
