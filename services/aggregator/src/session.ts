import type {
  FetchOutcome,
  GroupMembership,
  ReplicationLog,
  TopicPartition,
} from '@blockferry/replication-log'
import { aborted, codeOf } from '@blockferry/runtime'
import { BackOff } from './back-off.ts'
import type { FoldingBudget } from './folding-budget.ts'
import { isPassing } from './kafka-trouble.ts'
import type { PartitionProgress } from './partition-progress.ts'
import { PartitionWorker } from './partition-worker.ts'
import type { AggregatorDeps, AggregatorOptions } from './ports.ts'
import { TaskGroup } from './task-group.ts'
import { Wake } from './wake.ts'

/*
 * One life of a Kafka client: group membership, one fetch over all assigned partitions, the windows' timer.
 *
 * Invariant SE1: a partition has at most one worker, and a revoked one has ended, its last produce with it,
 * before the assignment is answered: two produces of ours never meet in one partition (L2).
 */

/** Shortest sleep of the window timer: a clock that stands still must not be asked in a circle. */
const timerMsMin = 1

interface Assigned {
  readonly worker: PartitionWorker
  readonly tasks: TaskGroup
  readonly ended: Promise<void>
}

export class Session {
  readonly #deps: AggregatorDeps
  readonly #options: AggregatorOptions
  readonly #log: ReplicationLog
  readonly #budget: FoldingBudget
  readonly #assigned = new Map<number, Assigned>()
  readonly #changed = new Wake()
  readonly #backOff: BackOff
  #trouble: string | null = null

  constructor(
    deps: AggregatorDeps,
    parts: { readonly log: ReplicationLog; readonly budget: FoldingBudget },
    options: AggregatorOptions,
  ) {
    this.#deps = deps
    this.#options = options
    this.#log = parts.log
    this.#budget = parts.budget
    this.#backOff = new BackOff(deps.random, { msMin: options.backOffMsMin, msMax: options.backOffMsMax })
  }

  get partitions(): readonly PartitionProgress[] {
    return [...this.#assigned.values()].map(({ worker }) => worker.progress)
  }

  /** Code of what keeps the whole fetch from working; null while all is well. */
  get trouble(): string | null {
    return this.#trouble
  }

  /** Runs until the signal aborts, or throws what this client cannot get over. `onReady`: the group is joined. */
  async run(signal: AbortSignal, onReady: () => void): Promise<void> {
    await this.#log.ensureTopics(this.#options.topics)
    const tasks = new TaskGroup(signal)
    try {
      const membership = await this.#join(tasks)
      onReady()
      void tasks.spawn((stop) => this.#fetchLoop(stop))
      void tasks.spawn((stop) => this.#timerLoop(stop))
      void tasks.spawn((stop) => failWhenFenced(membership, stop))
      await tasks.settled()
      await this.#leave(membership)
    } finally {
      tasks.stop()
      await tasks.settled()
    }
    tasks.throwIfFailed()
  }

  async #join(tasks: TaskGroup): Promise<GroupMembership> {
    const { groupId, inputTopic } = this.#options
    return this.#log.joinGroup({
      groupId,
      topics: [inputTopic],
      onAssignment: (partitions) => this.#assign(partitions, tasks),
    })
  }

  /** A courtesy to the other members: without it they wait for this one's session to expire. */
  async #leave(membership: GroupMembership): Promise<void> {
    try {
      await membership.leave()
    } catch (error) {
      this.#deps.logger.warn(
        { event: 'group-not-left', err: error },
        'the group was not left; it will notice',
      )
    }
  }

  /** SE1: replaces the assignment whole; resolves once no revoked worker runs any more. */
  async #assign(partitions: readonly TopicPartition[], tasks: TaskGroup): Promise<void> {
    const wanted = new Set(partitions.map(({ kafkaPartition }) => kafkaPartition))
    const revoked = [...this.#assigned].filter(([kafkaPartition]) => !wanted.has(kafkaPartition))
    for (const [, assigned] of revoked) assigned.tasks.stop()
    await Promise.all(revoked.map(([, assigned]) => assigned.ended))
    for (const [kafkaPartition] of revoked) this.#assigned.delete(kafkaPartition)
    if (tasks.signal.aborted) return
    for (const kafkaPartition of wanted) {
      if (!this.#assigned.has(kafkaPartition)) this.#start(kafkaPartition, tasks)
    }
    const fields = { event: 'assigned', partitions: [...wanted] }
    this.#deps.logger.info(fields, `assigned partitions: ${[...wanted].join(', ') || 'none'}`)
    this.#changed.wake()
  }

  #start(kafkaPartition: number, tasks: TaskGroup): void {
    const parts = { log: this.#log, budget: this.#budget, kafkaPartition }
    const worker = new PartitionWorker(this.#deps, parts, this.#options)
    const own = new TaskGroup(tasks.signal)
    // Its failure is the session's: the own group only lets a revoked worker be stopped alone.
    const ended = tasks.spawn(async () => {
      await own.spawn((stop) => worker.run(stop))
      await own.settled()
      own.throwIfFailed()
    })
    this.#assigned.set(kafkaPartition, { worker, tasks: own, ended })
  }

  async #fetchLoop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const positions = this.#positions()
      if (this.#budget.isExhausted) await this.#budget.released(signal)
      else if (positions.length > 0) await this.#fetchOnce(positions, signal)
      else await this.#changed.waitAtMost(this.#deps.clock, this.#options.fetchWaitMsMax, signal)
    }
  }

  #positions(): readonly (TopicPartition & { readonly kafkaOffset: bigint })[] {
    const nowMs = this.#deps.clock.monotonicMs()
    return [...this.#assigned.values()].flatMap(({ worker }) => {
      const kafkaOffset = worker.fetchOffset(nowMs)
      return kafkaOffset === null ? [] : [{ ...worker.input, kafkaOffset }]
    })
  }

  async #fetchOnce(
    positions: readonly (TopicPartition & { readonly kafkaOffset: bigint })[],
    signal: AbortSignal,
  ): Promise<void> {
    const { fetchWaitMsMax: waitMsMax, fetchPartitionBytesMax, fetchBytesMax } = this.#options
    const limits = { waitMsMax, partitionBytesMax: fetchPartitionBytesMax, bytesMax: fetchBytesMax }
    let outcomes: readonly FetchOutcome[]
    try {
      outcomes = await this.#log.fetch({ positions, ...limits }, signal)
    } catch (error) {
      if (signal.aborted || !isPassing(error)) throw error
      await this.#waitOut(error, signal)
      return
    }
    this.#trouble = null
    this.#backOff.reset()
    outcomes.forEach((outcome, index) => this.#accept(outcome, positions[index]?.kafkaOffset ?? -1n))
  }

  /** Unless the partition was revoked, or assigned anew, while the fetch was on its way. */
  #accept(outcome: FetchOutcome, askedOffset: bigint): void {
    const worker = this.#assigned.get(outcome.kafkaPartition)?.worker
    if (worker?.inputOffset !== askedOffset) return
    worker.accept(outcome)
    if (this.#budget.isExhausted) this.#closeLargest()
    this.#changed.wake()
  }

  #closeLargest(): void {
    let largest: { bytes: number; close: () => void } | null = null
    for (const { worker } of this.#assigned.values()) {
      const window = worker.largestWindow()
      const bytes = window?.bufferedBytes ?? 0
      if (window === null || bytes <= (largest?.bytes ?? 0)) continue
      largest = { bytes, close: () => worker.closeForBudget(window) }
    }
    largest?.close()
  }

  async #waitOut(error: unknown, signal: AbortSignal): Promise<void> {
    const code = codeOf(error)
    this.#deps.meter.kafkaFailed(code)
    if (this.#trouble !== code) {
      this.#deps.logger.warn({ event: 'input-waits', code, err: error }, `raw writes cannot be read: ${code}`)
    }
    this.#trouble = code
    await this.#deps.clock.sleep(this.#backOff.nextDelayMs(), signal)
  }

  /** Closes windows when they are due (A2). All are open equally long, so a new one is never due first. */
  async #timerLoop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const workers = [...this.#assigned.values()].map(({ worker }) => worker)
      const dueAtMs = Math.min(...workers.map((worker) => worker.dueAtMs ?? Infinity))
      if (dueAtMs === Infinity) {
        await this.#changed.wait(signal)
        continue
      }
      const waitMs = dueAtMs - this.#deps.clock.monotonicMs()
      await this.#deps.clock.sleep(Math.max(timerMsMin, waitMs), signal)
      const nowMs = this.#deps.clock.monotonicMs()
      for (const worker of workers) worker.closeDue(nowMs)
    }
  }
}

/** A member whose name another one took would idle, and look well. */
async function failWhenFenced(membership: GroupMembership, signal: AbortSignal): Promise<void> {
  const fenced = await Promise.race([membership.fenced, aborted(signal)])
  if (fenced !== undefined) throw fenced
}
