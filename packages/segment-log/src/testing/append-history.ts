import { assert } from '@blockferry/runtime'
import type { Lsn, SegmentLog } from '../segment-log.ts'

export interface KeptFrame {
  readonly lsn: Lsn
  readonly body: string
}

type Append = readonly KeptFrame[]

/** An append whose fate is open: it may follow the first `after` acknowledged appends, or nothing may. */
interface Doubtful {
  readonly after: number
  readonly bodies: readonly string[]
  /** Taken back, though not durably: only a power loss can undo that. */
  readonly takenBack: boolean
}

/** The model of a log: the appends it acknowledged, and those that may turn up besides. */
export class AppendHistory {
  #acknowledged: Append[] = []
  #doubtful: Doubtful[] = []

  acknowledge(bodies: readonly string[], lsns: readonly Lsn[]): void {
    this.#acknowledged.push(bodies.map((body, index) => ({ lsn: lsns[index]!, body })))
  }

  /** The append was under way when its process died, or it failed. */
  doubt(bodies: readonly string[], takenBack: boolean): void {
    this.#doubtful.push({ after: this.#acknowledged.length, bodies, takenBack })
  }

  /** All of the acknowledged appends and nothing else, or one doubtful append after them (whole). */
  explainsAll(found: readonly KeptFrame[], firstLsn: Lsn): boolean {
    return this.#explains(found, { firstLsn, count: this.#acknowledged.length, powerLost: false })
  }

  /** Some first acknowledged appends that reach `durableThrough`, and perhaps one doubtful append after them. */
  explainsPrefix(found: readonly KeptFrame[], kept: { firstLsn: Lsn; durableThrough: Lsn }): boolean {
    for (let count = this.#acknowledged.length; count >= 0; count -= 1) {
      const next = this.#acknowledged[count]?.[0]
      if (next !== undefined && next.lsn < kept.durableThrough) return false
      if (this.#explains(found, { firstLsn: kept.firstLsn, count, powerLost: true })) return true
    }
    return false
  }

  /** From now on what was found is what was acknowledged. */
  settle(found: readonly KeptFrame[], firstLsn: Lsn): void {
    const isThere = (frame: KeptFrame): boolean =>
      frame.lsn < firstLsn || found.some(({ lsn, body }) => lsn === frame.lsn && body === frame.body)
    this.#acknowledged = this.#acknowledged.filter((append) => append.every(isThere))
    const known = new Set(this.#acknowledged.flat().map((frame) => frame.lsn))
    const survivor = found.filter((frame) => !known.has(frame.lsn))
    if (survivor.length > 0) this.#acknowledged.push(survivor)
    this.#doubtful = []
  }

  #explains(
    found: readonly KeptFrame[],
    kept: { firstLsn: Lsn; count: number; powerLost: boolean },
  ): boolean {
    const sure = this.#acknowledged
      .slice(0, kept.count)
      .flat()
      .filter((frame) => frame.lsn >= kept.firstLsn)
    const isSame = (frame: KeptFrame, index: number): boolean =>
      frame.lsn === found[index]?.lsn && frame.body === found[index]?.body
    if (!sure.every(isSame)) return false
    const rest = found.slice(sure.length).map((frame) => frame.body)
    if (rest.length === 0) return true
    return this.#doubtful.some(
      ({ after, bodies, takenBack }) =>
        after === kept.count && (kept.powerLost || !takenBack) && sameBodies(bodies, rest),
    )
  }
}

function sameBodies(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((body, index) => body === right[index])
}

/** All frames of a log, checking that each ends where the next begins. */
export async function readAll(log: SegmentLog): Promise<readonly KeptFrame[]> {
  await using reader = log.reader(log.firstLsn)
  const frames: KeptFrame[] = []
  for (let frame = await reader.next(); frame !== null; frame = await reader.next()) {
    assert(frame.lsn % 8 === 0 && frame.nextLsn > frame.lsn, 'frames ascend, aligned')
    frames.push({ lsn: frame.lsn, body: frame.body.toString('latin1') })
  }
  return frames
}
