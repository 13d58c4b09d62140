/*
 * Numbers the events of one disk and appends them to its spool (S4, T3).
 *
 * Invariant W1: numbers are taken and queued in one synchronous call; the queue is appended in that order.
 * Invariant W2: one append is outstanding; all that was queued meanwhile goes with the next.
 * Invariant W3: an entry hears `appended` only after the append that holds it completed in full.
 * Invariant W5: an entry of an append that is abandoned hears `lost`, although its events may yet be in the spool:
 * nothing is done for it any more, and its sequences stay unfinished (S5).
 * Invariant W4: when an append fails, it and everything queued behind it lose their numbers and hear `lost`;
 * the writer takes nothing more in this generation.
 */
import {
  type Generation,
  type NumberedEvent,
  type Position,
  startPoint,
  type StreamEvent,
  StreamNumberer,
  type StreamPoint,
} from '@blockferry/disk-stream'
import { assert, type Clock } from '@blockferry/runtime'
import type { Lsn, SegmentLog } from '@blockferry/segment-log'
import { FrameBuilder } from '../spool/frame-builder.ts'
import { encodeGeneration } from '../spool/frame.ts'
import type { OutstandingAppend } from './append-latency.ts'
import { createUnfinishedSequences, type UnfinishedTicket } from './unfinished.ts'

/** What waits for its append. Implemented by guest writes, sync reads, marks. */
export interface SpoolEntry {
  readonly events: readonly StreamEvent[]
  /** Data of the write events, in order. */
  readonly data: readonly Buffer[]
  /** A local write follows the append: its sequences are unfinished until the ticket says otherwise (S5). */
  readonly writesLocally: boolean
  /** Set by an event of the full sync: bytes from the start that it and those before it cover. */
  readonly syncCursorBytes?: number | undefined
  /** In the spool in full. `ticket` is null unless `writesLocally`. */
  appended(ticket: UnfinishedTicket | null): void
  /** Not in the spool; it has no number. */
  lost(): void
}

/** Where a generation's stream stands in the spool. */
export interface AppendedState {
  readonly point: StreamPoint
  /** Data bytes of all its write events. */
  readonly rawBytes: number
  readonly syncCursorBytes: number
  readonly syncDone: boolean
}

/** One frame as appended, for the retention index. */
export interface AppendedFrame {
  readonly lsn: Lsn
  readonly generation: Generation
  readonly firstSequence: number
  readonly chainBefore: number
}

export interface SpoolWriterDeps {
  readonly log: SegmentLog
  readonly clock: Clock
  readonly onFrames: (frames: readonly AppendedFrame[]) => void
  readonly onAppendDone: (append: { readonly durationMs: number; readonly byteLength: number }) => void
  /** An append failed; called after every entry heard `lost`. */
  readonly onFailed: (error: unknown) => void
}

interface Queued {
  readonly entry: SpoolEntry
  readonly numbered: readonly NumberedEvent[]
  readonly ticket: UnfinishedTicket | null
}

/** The state before the first event of a generation. */
export function emptyAppendedState(generation: Generation): AppendedState {
  const syncDone = generation.base.kind === 'none'
  return { point: startPoint(generation.id), rawBytes: 0, syncCursorBytes: 0, syncDone }
}

export class SpoolWriter {
  readonly generation: Generation
  readonly #deps: SpoolWriterDeps
  readonly #blob: Buffer
  readonly #numberer: StreamNumberer
  readonly #unfinished = createUnfinishedSequences()
  #queue: Queued[] = []
  #inFlight: readonly Queued[] | null = null
  #outstanding: OutstandingAppend | null = null
  #abandoned = false
  #appended: AppendedState
  #scheduled = false
  #stopped = false
  #idleWaiters: (() => void)[] = []

  /** Continues `generation` from `from`, or begins it. */
  constructor(deps: SpoolWriterDeps, generation: Generation, from?: AppendedState) {
    this.#deps = deps
    this.generation = generation
    this.#blob = encodeGeneration(generation)
    this.#appended = from ?? emptyAppendedState(generation)
    this.#numberer = new StreamNumberer(generation, this.#appended.point)
  }

  get appended(): AppendedState {
    return this.#appended
  }

  /** The last position wholly in the spool: what heartbeats and predecessors name. */
  get position(): Position {
    const { sequence, chain } = this.#appended.point
    return { generation: this.generation.number, generationId: this.generation.id, sequence, chain }
  }

  /** Sequence of the last number given, appended or not. */
  get numberedThrough(): number {
    return this.#numberer.position.sequence
  }

  get stopped(): boolean {
    return this.#stopped
  }

  /** The append under way; null when there is none. */
  get outstanding(): OutstandingAppend | null {
    return this.#outstanding
  }

  /** Lowest sequence whose local write is unfinished; one past the last number when none is (U1). */
  lowestUnfinished(): number {
    return this.#unfinished.lowest(this.numberedThrough + 1)
  }

  /**
   * Sequences from here on were left unfinished by an agent that died, and stay so until the ticket is
   * finished: frames of their read-back must not say otherwise (S5). Before anything is numbered.
   */
  holdUnfinished(fromSequence: number): UnfinishedTicket {
    return this.#unfinished.begin(fromSequence)
  }

  /** Numbers all events of the entry now, in one tick (W1), and queues them. */
  enqueue(entry: SpoolEntry): void {
    assert(!this.#stopped, 'a stopped spool writer gives no numbers')
    const ticket = entry.writesLocally ? this.#unfinished.begin(this.numberedThrough + 1) : null
    const numbered = entry.events.map((event) => this.#numberer.number(event))
    this.#queue.push({ entry, numbered, ticket })
    this.#schedule()
  }

  /** Takes nothing more; what is queued and not in flight loses its numbers (W4). Resolves at rest. */
  async stop(): Promise<void> {
    if (!this.#stopped) {
      this.#stopped = true
      this.#loseQueue()
    }
    await this.idle()
  }

  /** Stops, and lets go of who waits for an append that does not complete (W5). */
  abandon(): void {
    void this.stop()
    if (this.#inFlight === null || this.#abandoned) return
    this.#abandoned = true
    for (const { entry } of this.#inFlight) entry.lost()
  }

  /** Resolves when nothing is queued or in flight. */
  async idle(): Promise<void> {
    if (this.#inFlight === null && this.#queue.length === 0) return
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve))
  }

  /** One microtask later, so that all requests that one socket read delivered go in one append (T3). */
  #schedule(): void {
    if (this.#scheduled || this.#inFlight !== null) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#appendQueue()
    })
  }

  #appendQueue(): void {
    if (this.#inFlight !== null || this.#queue.length === 0) return
    const batch = this.#queue
    this.#queue = []
    this.#inFlight = batch
    const builder = this.#newBuilder()
    for (const { entry, numbered } of batch) builder.add(numbered, entry.data, entry.syncCursorBytes)
    const { rawBytes, syncCursorBytes, syncDone } = builder.finish()
    const state = { point: this.#numberer.point(), rawBytes, syncCursorBytes, syncDone }
    const sinceMs = this.#deps.clock.monotonicMs()
    const byteLength = rawBytes - this.#appended.rawBytes
    this.#outstanding = { sinceMs, byteLength }
    this.#deps.log.append(builder.bodies).then(
      (lsns) => {
        this.#outstanding = null
        this.#deps.onAppendDone({ durationMs: this.#deps.clock.monotonicMs() - sinceMs, byteLength })
        this.#completed({ batch, state, builder, lsns })
      },
      (error: unknown) => {
        this.#outstanding = null
        this.#failed(batch, error)
      },
    )
  }

  #newBuilder(): FrameBuilder {
    const { point, ...progress } = this.#appended
    return new FrameBuilder({
      generation: this.generation,
      generationBlob: this.#blob,
      from: { ...progress, sequence: point.sequence, chain: point.chain },
      lowestUnfinished: (nextSequence) => this.#unfinished.lowest(nextSequence),
    })
  }

  #completed(done: {
    readonly batch: readonly Queued[]
    readonly state: AppendedState
    readonly builder: FrameBuilder
    readonly lsns: readonly Lsn[]
  }): void {
    assert(this.#inFlight === done.batch, 'one append is outstanding (W2)')
    this.#inFlight = null
    this.#appended = done.state
    const { generation } = this
    this.#deps.onFrames(
      done.builder.frames.map((frame, index) => ({ ...frame, generation, lsn: done.lsns[index] ?? 0 })),
    )
    if (!this.#abandoned) for (const { entry, ticket } of done.batch) entry.appended(ticket)
    this.#next()
  }

  /** W4. */
  #failed(batch: readonly Queued[], error: unknown): void {
    this.#inFlight = null
    this.#stopped = true
    const lost = this.#abandoned ? this.#queue : [...batch, ...this.#queue]
    this.#queue = []
    this.#lose(lost)
    this.#deps.onFailed(error)
    this.#next()
  }

  #loseQueue(): void {
    const lost = this.#queue
    this.#queue = []
    this.#lose(lost)
  }

  #lose(lost: readonly Queued[]): void {
    if (this.#inFlight === null) this.#numberer.rollBack(this.#appended.point)
    for (const { entry, ticket } of lost) {
      if (ticket !== null) ticket.finished = true
      entry.lost()
    }
  }

  #next(): void {
    if (this.#queue.length > 0) this.#appendQueue()
    if (this.#inFlight !== null) return
    const waiters = this.#idleWaiters
    this.#idleWaiters = []
    for (const wake of waiters) wake()
  }
}
