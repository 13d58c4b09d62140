import { assert } from '@blockferry/runtime'
import type { Lsn, SegmentLog, SegmentLogReader } from '@blockferry/segment-log'
import type { LogPlace, OpenedLog } from '../ports.ts'

/*
 * The redo journal of a volume (R1). Invariants:
 *
 * J1  `append` resolves only after an fdatasync that covers its frames: what is acknowledged is durable.
 * J2  After a failed append or fdatasync nothing of it counts. A failed fdatasync may have dropped pages
 *     that a second one would not write again, so the log is reopened before it is used again.
 */

/** Durable appends to the volume's segment log, one at a time, in the order of the calls. */
export class Journal implements AsyncDisposable {
  readonly #open: (place: LogPlace) => Promise<OpenedLog>
  #log: SegmentLog
  #broken = false
  /** False from the close of a broken log until another one is open. */
  #isOpen = true
  #tail: Promise<unknown> = Promise.resolve()
  #appends = 0

  constructor(open: (place: LogPlace) => Promise<OpenedLog>, log: SegmentLog) {
    this.#open = open
    this.#log = log
  }

  /** End of the last complete append. */
  get appendedThrough(): Lsn {
    return this.#log.appendedThrough
  }

  get allocatedBytes(): number {
    return this.#log.allocatedBytes
  }

  get firstLsn(): Lsn {
    return this.#log.firstLsn
  }

  /** Everything below is durable, and was acknowledged or will be without failing. */
  get durableThrough(): Lsn {
    return this.#log.durableThrough
  }

  /** Group commits so far. */
  get appends(): number {
    return this.#appends
  }

  /** Appends frames and makes them durable (J1). Returns their LSNs. */
  append(bodies: readonly (readonly Buffer[])[]): Promise<readonly Lsn[]> {
    return this.#exclusive(async () => {
      if (this.#broken) await this.#reopen()
      const lsns = await this.#log.append(bodies)
      try {
        await this.#log.sync()
      } catch (error) {
        this.#broken = true
        throw error
      }
      this.#appends += 1
      return lsns
    })
  }

  /** Makes durable what opening found: the process before may have died ahead of its fdatasync. */
  sync(): Promise<void> {
    return this.#exclusive(() => this.#log.sync())
  }

  /** A reader of what was appended, once a log is open to read from. Faults: of the opening. */
  async reader(lsn: Lsn): Promise<SegmentLogReader> {
    if (this.#isOpen) return this.#log.reader(lsn)
    return this.#exclusive(async () => {
      if (!this.#isOpen) await this.#reopen()
      return this.#log.reader(lsn)
    })
  }

  /** Gives back whole segments below `lsn`. */
  deleteBefore(lsn: Lsn): Promise<unknown> {
    return this.#exclusive(async () => {
      if (this.#broken || lsn <= this.#log.firstLsn) return
      await this.#log.deleteBefore(Math.min(lsn, this.#log.durableThrough))
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#exclusive(async () => {
      if (this.#isOpen) await this.#log.close()
    })
  }

  async #reopen(): Promise<void> {
    if (this.#isOpen) {
      this.#isOpen = false
      await this.#log.close()
    }
    const { durableThrough } = this.#log
    const { log } = await this.#open({ scanFrom: durableThrough, createAtLsn: durableThrough })
    assert(log.appendedThrough >= durableThrough, 'what was durable is still there')
    this.#log = log
    this.#isOpen = true
    this.#broken = false
  }

  #exclusive<T>(operation: () => Promise<T>): Promise<T> {
    const run = this.#tail.then(operation, operation)
    this.#tail = run.then(ignore, ignore)
    return run
  }
}

/** The caller of the operation hears of its failure; the queue only needs to know that it is over. */
function ignore(): void {}
