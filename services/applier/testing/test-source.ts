import { crc32 } from 'node:zlib'
import {
  ExtentMap,
  type Generation,
  type GenerationBase,
  type Joint,
  type MarkEvent,
  type Position,
  type RecoveryPointEvent,
  StreamNumberer,
  type StreamEvent,
  type UpdateSet,
} from '@blockferry/disk-stream'
import type { Random } from '@blockferry/runtime'
import { packPayloadSync } from '@blockferry/schemas'

export const sectorBytes = 512

type Pending = { readonly event: StreamEvent; readonly data: Buffer | null }

/** A source disk: what it holds, and the update sets its writes become. */
export class TestSource {
  readonly diskId: string
  readonly bytes: Buffer
  generation: Generation
  #numberer: StreamNumberer
  #pending: Pending[] = []
  readonly #nowMs: () => number
  /** What the disk held at the end of each set, by `generation.sequence`. */
  readonly imageAt = new Map<string, Buffer>()

  constructor(options: {
    readonly diskId: string
    readonly sizeBytes: number
    readonly nowMs: () => number
  }) {
    this.diskId = options.diskId
    this.bytes = Buffer.alloc(options.sizeBytes)
    this.#nowMs = options.nowMs
    this.generation = generationOf(1, { kind: 'full' }, null)
    this.#numberer = new StreamNumberer(this.generation)
  }

  get position(): Position {
    return this.#numberer.position
  }

  /** A newer generation from here on. */
  begin(base: GenerationBase): void {
    this.generation = generationOf(this.generation.number + 1, base, this.position)
    this.#numberer = new StreamNumberer(this.generation)
  }

  write(sector: number, fill: number, sectors = 1): void {
    this.writeData(sector, Buffer.alloc(sectors * sectorBytes, fill))
  }

  /** Data that does not compress. */
  writeNoise(sector: number, random: Random, sectors: number): void {
    this.writeData(sector, Buffer.from(random.hex(sectors * sectorBytes), 'hex'))
  }

  writeData(sector: number, data: Buffer): void {
    data.copy(this.bytes, sector * sectorBytes)
    const extent = { byteOffset: sector * sectorBytes, byteLength: data.byteLength }
    this.#add({ kind: 'write', capturedAtMs: this.#nowMs(), dataCrc: crc32(data), ...extent }, data)
  }

  zero(sector: number, sectors: number): void {
    const extent = { byteOffset: sector * sectorBytes, byteLength: sectors * sectorBytes }
    this.bytes.fill(0, extent.byteOffset, extent.byteOffset + extent.byteLength)
    this.#add({ kind: 'zero', capturedAtMs: this.#nowMs(), mayUnmap: true, ...extent }, null)
  }

  cut(event: Partial<RecoveryPointEvent> & { readonly cutId: string }): UpdateSet {
    const now = this.#nowMs()
    const mark = {
      kind: 'recoveryPoint',
      capturedAtMs: now,
      wallTimeMs: now,
      groupId: null,
      members: [this.diskId],
      name: null,
      requestId: null,
      ...event,
    } as const
    this.#add(mark, null)
    return this.set()
  }

  /** The whole disk as a full resync sends it, in one set with its `resync done`. */
  fullSync(): UpdateSet {
    for (let at = 0; at < this.bytes.byteLength; at += sectorBytes) {
      const data = Buffer.from(this.bytes.subarray(at, at + sectorBytes))
      const extent = { byteOffset: at, byteLength: sectorBytes }
      const isHole = data.every((byte) => byte === 0)
      if (isHole) this.#add({ kind: 'zero', capturedAtMs: this.#nowMs(), mayUnmap: true, ...extent }, null)
      else this.#add({ kind: 'write', capturedAtMs: this.#nowMs(), dataCrc: crc32(data), ...extent }, data)
    }
    return this.resyncDone()
  }

  resyncDone(): UpdateSet {
    this.#add({ kind: 'resyncDone', capturedAtMs: this.#nowMs() }, null)
    return this.set()
  }

  /** Folds what was written since the last set. */
  set(): UpdateSet {
    const before = this.#numberer.position
    const map = new ExtentMap()
    const joints: Joint[] = []
    let mark: MarkEvent | null = null
    let rawBytes = 0
    const times: number[] = []
    for (const { event, data } of this.#pending) {
      const numbered = this.#numberer.number(event)
      joints.push({ sequence: numbered.sequence, chain: numbered.chain })
      times.push(numbered.event.capturedAtMs)
      if (event.kind === 'write' && data !== null) map.write(event.byteOffset, data)
      else if (event.kind === 'zero') map.zero(event, event)
      else if (event.kind !== 'write') mark = numbered.event as MarkEvent
      rawBytes += data?.byteLength ?? 0
    }
    this.#pending = []
    const end = this.position
    this.imageAt.set(`${end.generation}.${end.sequence}`, Buffer.from(this.bytes))
    const folded = map.fold()
    return {
      diskId: this.diskId,
      generation: this.generation,
      firstSequence: before.sequence + 1,
      lastSequence: end.sequence,
      chainBefore: before.chain,
      chainAfter: end.chain,
      joints,
      firstCapturedAtMs: times[0] ?? 0,
      lastCapturedAtMs: times.at(-1) ?? 0,
      rawBytes,
      resumeInputOffset: 0n,
      mark,
      extents: folded.map(({ byteOffset, byteLength, ...extent }) =>
        extent.kind === 'data'
          ? { kind: 'data', byteOffset, byteLength }
          : { kind: 'zero', byteOffset, byteLength, mayUnmap: extent.mayUnmap },
      ),
      ...packPayloadSync(folded.flatMap((extent) => (extent.kind === 'data' ? extent.data : []))),
    }
  }

  #add(event: StreamEvent, data: Buffer | null): void {
    this.#pending.push({ event, data })
  }
}

function generationOf(number: number, base: GenerationBase, predecessor: Position | null): Generation {
  return {
    number,
    id: number.toString(16).padStart(32, 'a'),
    ownerSite: 'site-a',
    reason: number === 1 ? 'initial' : 'resync',
    base,
    predecessor,
    stamp: { agentId: 'agent', counter: number },
  }
}
