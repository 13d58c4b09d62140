import type { Disk } from '../disk/disk.ts'
import type { LagMeter } from '../lag/lag-meter.ts'
import type { LagMessage, LagSample } from '../lag/lag-sample.ts'

/** A snapshot may be made of samples that are this old: clients that come together share one. */
const freshMs = 250

export interface LagFilter {
  readonly disk?: string | undefined
  readonly group?: string | undefined
}

/** A sample as the feed sends it. */
export interface EncodedSample {
  readonly diskId: string
  readonly groupId: string | null
  /** JSON without the time it was taken at: what has to differ for an update. */
  readonly essence: string
  readonly text: string
}

export function matches(sample: Pick<LagSample, 'diskId' | 'groupId'>, filter: LagFilter): boolean {
  if (filter.disk !== undefined && sample.diskId !== filter.disk) return false
  return filter.group === undefined || sample.groupId === filter.group
}

function encode({ sampledAt, ...rest }: LagSample): EncodedSample {
  const essence = JSON.stringify(rest)
  const text = `${essence.slice(0, -1)},"sampledAt":"${sampledAt}"}`
  return { diskId: rest.diskId, groupId: rest.groupId, essence, text }
}

/**
 * One message for any number of clients: put together at most once per filter, and the same bytes for all who
 * asked for the same. A socket that sends them holds a reference, not a copy.
 */
export class LagFrame {
  readonly #type: LagMessage['type']
  readonly #samples: readonly EncodedSample[]
  readonly #byDisk: ReadonlyMap<string, EncodedSample>
  readonly #messages = new Map<string, Buffer>()

  constructor(type: LagMessage['type'], samples: readonly EncodedSample[]) {
    this.#type = type
    this.#samples = samples
    this.#byDisk = new Map(samples.map((sample) => [sample.diskId, sample]))
  }

  for(filter: LagFilter): Buffer {
    const key = JSON.stringify([filter.disk ?? null, filter.group ?? null])
    const known = this.#messages.get(key)
    if (known !== undefined) return known
    const texts = this.#select(filter).map(({ text }) => text)
    const message = Buffer.from(
      `{"type":"${this.#type}","sampledAt":"${new Date().toISOString()}","disks":[${texts.join(',')}]}`,
    )
    this.#messages.set(key, message)
    return message
  }

  #select(filter: LagFilter): readonly EncodedSample[] {
    if (filter.disk === undefined) return this.#samples.filter((sample) => matches(sample, filter))
    const one = this.#byDisk.get(filter.disk)
    return one !== undefined && matches(one, filter) ? [one] : []
  }
}

/** Measures and encodes disks for the feed: each once a second, and once more when its state changes or somebody joins. */
export class LagFrames {
  readonly #lag: LagMeter
  readonly #nowMs: () => number
  /** What every client was told last; not held of a disk of which some were told otherwise since. */
  readonly #told = new Map<string, string>()
  #snapshot: LagFrame | null = null
  #measuredMs = -Infinity

  constructor(lag: LagMeter, nowMs: () => number = () => performance.now()) {
    this.#lag = lag
    this.#nowMs = nowMs
  }

  /** Everything, as it is now or was a moment ago. */
  snapshot(): LagFrame {
    const known = this.#snapshot
    if (known !== null && this.#nowMs() - this.#measuredMs <= freshMs) return known
    const { frame, news } = this.#measure()
    for (const { diskId } of news) this.#told.delete(diskId)
    return frame
  }

  /** What has changed since the update before. */
  update(): LagFrame {
    const { news } = this.#measure()
    for (const { diskId, essence } of news) this.#told.set(diskId, essence)
    return new LagFrame('update', news)
  }

  /** One disk whose state has just changed; a snapshot taken before it is no longer true. */
  stateChange(disk: Disk): LagFrame {
    this.#snapshot = null
    this.#told.delete(disk.diskId)
    return new LagFrame('update', [encode(this.#lag.sample(disk))])
  }

  #measure(): { readonly frame: LagFrame; readonly news: readonly EncodedSample[] } {
    const samples = this.#lag.samples().map(encode)
    const frame = new LagFrame('snapshot', samples)
    this.#snapshot = frame
    this.#measuredMs = this.#nowMs()
    return { frame, news: samples.filter(({ diskId, essence }) => this.#told.get(diskId) !== essence) }
  }
}
