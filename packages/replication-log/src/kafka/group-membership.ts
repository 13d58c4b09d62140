import { Fault, codeOf } from '@blockferry/runtime'
import { fault } from '../faults.ts'
import type { AssignmentListener, GroupMembership, TopicPartition } from '../replication-log.ts'
import { GroupCoordinator, type GroupIdentity, type GroupPlace } from './group-coordinator.ts'
import type { OffsetDeps } from './offsets.ts'
import { backoffMs, nowMs, pause } from './retry.ts'

export interface GroupMembershipOptions extends OffsetDeps, Omit<GroupIdentity, 'groupInstanceId'> {
  readonly groupInstanceId: string | null
  readonly onAssignment: AssignmentListener
  readonly onEnd: () => void
}

/*
 *   joining ──share──► member ──rebalance, coordinator moved──► joining
 *                         └── not heard for a session ──► nothing assigned, joining
 *
 * Membership gives partitions, nothing else (K4, A4): two members may hold one partition for a moment, and
 * S9 makes that harmless, so nothing is revoked before a rebalance has ended.
 */
export class KafkaGroupMembership implements GroupMembership {
  readonly #options: GroupMembershipOptions
  readonly #coordinator: GroupCoordinator
  readonly #leaving = new AbortController()
  readonly #firstShare = Promise.withResolvers<void>()
  readonly #fenced = Promise.withResolvers<Fault>()
  #place: GroupPlace | null = null
  #memberId = ''
  #assigned = 'none'
  #heardAtMs = nowMs()
  /** The listener is called with one set after another, each once it took the one before. */
  #delivered: Promise<void> = Promise.resolve()
  #running: Promise<void> = Promise.resolve()

  constructor(options: GroupMembershipOptions) {
    this.#options = options
    this.#coordinator = new GroupCoordinator(options, options)
  }

  get memberId(): string {
    return this.#memberId
  }

  get fenced(): Promise<Fault> {
    return this.#fenced.promise
  }

  /** Resolves when the listener took the first share; throws when none came within the control deadline. */
  async start(): Promise<void> {
    this.#running = this.#run()
    try {
      await this.#firstShare.promise
      await this.#delivered
    } catch (error) {
      await this.leave()
      throw error
    }
  }

  async leave(): Promise<void> {
    if (this.#leaving.signal.aborted) return
    this.#leaving.abort(fault('LOG_CLOSED', 'the member left its group'))
    this.#firstShare.reject(this.#leaving.signal.reason)
    await this.#running
    const place = this.#place
    // Politeness: unheard, the broker notices by the session timeout.
    if (place !== null) await Promise.allSettled([this.#coordinator.leave(place)])
    this.#options.connections.close()
    this.#options.onEnd()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leave()
  }

  async #run(): Promise<void> {
    const { signal } = this.#leaving
    const startedMs = nowMs()
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        await this.#joinAndStay(() => {
          failures = 0
        })
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof Fault)) throw error
        if (!this.#mayGoOn(error, startedMs)) return
        await pause(backoffMs(failures, this.#options.limits), signal).catch(stopQuietly)
      }
    }
  }

  async #joinAndStay(onJoined: () => void): Promise<void> {
    const { signal } = this.#leaving
    const coordinator = await this.#coordinator.find(signal)
    const { place, partitions } = await this.#coordinator.join(coordinator, this.#memberId, signal)
    this.#place = place
    this.#memberId = place.memberId
    this.#heardAtMs = nowMs()
    onJoined()
    this.#deliver(partitions)
    for (;;) {
      await pause(this.#options.limits.groupHeartbeatMs, signal)
      await this.#coordinator.heartbeat(place, signal)
      this.#heardAtMs = nowMs()
    }
  }

  /** False ends the membership: fenced, or never joined in time. */
  #mayGoOn(error: Fault, startedMs: number): boolean {
    const { groupSessionTimeoutMs, controlDeadlineMs } = this.#options.limits
    const lost = error.details['kafkaError'] === 'UNKNOWN_MEMBER_ID'
    if (lost) this.#memberId = ''
    const fenced = codeOf(error) === 'GROUP_MEMBER_FENCED'
    if (lost || fenced || nowMs() - this.#heardAtMs > groupSessionTimeoutMs) this.#deliverNothing()
    const neverJoined = this.#assigned === 'none' && nowMs() - startedMs > controlDeadlineMs
    if (fenced || neverJoined) this.#firstShare.reject(error)
    if (fenced) this.#fenced.resolve(error)
    return !fenced && !neverJoined
  }

  /** Somebody else owns them by now; before the first share there is nothing to take back. */
  #deliverNothing(): void {
    if (this.#assigned !== 'none') this.#deliver([])
  }

  #deliver(partitions: readonly TopicPartition[]): void {
    const assigned = JSON.stringify(partitions)
    if (assigned !== this.#assigned) {
      this.#assigned = assigned
      // A listener that throws ends the process: its partitions would otherwise stand still unseen.
      this.#delivered = this.#delivered.then(() => this.#options.onAssignment(partitions))
    }
    this.#firstShare.resolve()
  }
}

/** The loop that waits here looks at the signal itself. */
function stopQuietly(error: unknown): void {
  if (!(error instanceof Fault)) throw error
}
