import { assert } from '@blockferry/runtime'
import type { FetchOutcome, FetchPosition, FetchRequest } from '../replication-log.ts'
import type { FetchDeps } from './fetch-deps.ts'
import { fetchFromLeaders } from './fetch-leaders.ts'
import { isTransient, isUnknownTopic } from './kafka-error.ts'
import type { ConnectionLimits } from './limits.ts'
import { backoffMs, nowMs, pause } from './retry.ts'

/** One position of a fetch and what is known of it so far. */
interface Turn {
  readonly position: FetchPosition
  outcome: FetchOutcome | null
  failures: number
  /** Not asked again before this. */
  restUntilMs: number
}

/**
 * One long poll over many partitions (L1, L4). Partitions that fail rest and are tried again while the
 * others go on being polled; it ends when any partition has records or is out of range, or the wait is
 * over, and then every position has an outcome.
 */
export async function fetchOnce(
  deps: FetchDeps,
  request: FetchRequest,
  { signal, rotation }: { readonly signal: AbortSignal; readonly rotation: number },
): Promise<readonly FetchOutcome[]> {
  const deadlineMs = nowMs() + request.waitMsMax
  const turns = request.positions.map((position): Turn => {
    return { position, outcome: null, failures: 0, restUntilMs: 0 }
  })
  const order = turns.map((_, index) => turns[(index + rotation) % turns.length])
  for (;;) {
    const active = order.filter((turn): turn is Turn => turn !== undefined && turn.restUntilMs <= nowMs())
    const untilMs = Math.min(deadlineMs, earliestRestEnd(turns)) - nowMs()
    const waitMs = Math.max(0, Math.min(untilMs, deps.limits.pollWaitMsMax))
    if (active.length === 0) await pause(waitMs, signal)
    else await pollTurns(deps, { request, active, waitMs, signal })
    if (nowMs() >= deadlineMs || turns.some(isNews)) return turns.map(finalOutcome)
  }
}

function earliestRestEnd(turns: readonly Turn[]): number {
  const ends = turns.map(({ restUntilMs }) => restUntilMs).filter((endMs) => endMs > nowMs())
  return Math.min(Number.POSITIVE_INFINITY, ...ends)
}

async function pollTurns(
  deps: FetchDeps,
  poll: {
    readonly request: FetchRequest
    readonly active: readonly Turn[]
    readonly waitMs: number
    readonly signal: AbortSignal
  },
): Promise<void> {
  const positions = poll.active.map(({ position }) => position)
  const outcomes = await fetchFromLeaders(
    deps,
    { ...poll.request, positions, waitMsMax: poll.waitMs },
    poll.signal,
  )
  for (const [index, turn] of poll.active.entries()) {
    const outcome = outcomes[index]
    assert(outcome !== undefined, 'an outcome for each position asked')
    turn.outcome = outcome
    if (outcome.kind === 'failed') rest(turn, outcome.cause, deps.limits)
    else turn.failures = 0
  }
}

/**
 * What no retry should heal rests longest, but is asked again too: a broker that comes up answers things
 * that are not so a second later, and a position given up would stay silent for the rest of a long fetch.
 */
function rest(turn: Turn, cause: unknown, limits: ConnectionLimits): void {
  const mayPass = isTransient(cause) || isUnknownTopic(cause)
  turn.restUntilMs = nowMs() + (mayPass ? backoffMs(turn.failures, limits) : limits.backoffMsMax)
  turn.failures += 1
}

/** Records, a place out of range, or a place that compaction moved on without a record. */
function isNews({ outcome, position }: Turn): boolean {
  if (outcome === null || outcome.kind === 'failed') return false
  return outcome.kind === 'outOfRange' || outcome.nextKafkaOffset > position.kafkaOffset
}

function finalOutcome({ outcome }: Turn): FetchOutcome {
  assert(outcome !== null, 'the first round asks every position')
  return outcome
}
