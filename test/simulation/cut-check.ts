import { type Position, type RecoveryPointEvent, writeBytesMax } from '@blockferry/disk-stream'
import { assert } from '@blockferry/runtime'
import type { Guests } from './guests.ts'
import { type StreamRecord } from './stream-record.ts'
import { tagAt } from './guest-model.ts'

/** A recovery point that every member's stream has. */
export interface NumberedCut {
  readonly cut: RecoveryPointEvent
  readonly positions: ReadonlyMap<string, Position>
}

/** All complete recovery points of the recorded streams. */
export function completeCuts(
  records: ReadonlyMap<string, { readonly record: StreamRecord }>,
): readonly NumberedCut[] {
  const found = new Map<string, { cut: RecoveryPointEvent; positions: Map<string, Position> }>()
  for (const [diskId, { record }] of records) {
    for (const { events, generation } of record.eras.values()) {
      for (const [at, { chain, event }] of events.entries()) {
        if (event.kind !== 'recoveryPoint') continue
        const known = found.get(event.cutId) ?? { cut: event, positions: new Map() }
        const position = {
          generation: generation.number,
          generationId: generation.id,
          sequence: at + 1,
          chain,
        }
        known.positions.set(diskId, position)
        found.set(event.cutId, known)
      }
    }
  }
  return [...found.values()].filter(({ cut, positions }) =>
    cut.members.every((member) => positions.has(member)),
  )
}

/** S4: consecutive pieces of one large change have no recovery point between them. */
export function checkNoSplitChange(record: StreamRecord): void {
  for (const { events } of record.eras.values()) {
    for (const [at, { event }] of events.entries()) {
      if (event.kind !== 'recoveryPoint') continue
      const [before, after] = [events[at - 1], events[at + 1]]
      if (before?.event.kind !== 'write' || after?.event.kind !== 'write') continue
      const joined =
        before.event.byteLength === writeBytesMax &&
        before.event.byteOffset + before.event.byteLength === after.event.byteOffset &&
        tagAt(before.data) === tagAt(after.data)
      assert(!joined, `S4: the recovery point ${event.cutId} splits change ${tagAt(before.data)}`)
    }
  }
}

/** G3: no cut holds a change and lacks one that was acknowledged before that change was issued. */
export function checkOneInstant(
  { cut, positions }: NumberedCut,
  records: ReadonlyMap<string, { readonly record: StreamRecord }>,
  guests: Guests,
): void {
  let newest = { issuedAt: 0, tag: 0 }
  let earliestMissing = { endedAt: Infinity, tag: 0 }
  for (const change of guests.changes) {
    const position = positions.get(change.diskId)
    const place = records.get(change.diskId)?.record.numbered.get(change.tag)
    if (position === undefined || place === undefined || place.generation !== position.generation) continue
    const isHeld = place.lastSequence <= position.sequence
    const { acknowledged, endedAt, issuedAt, tag } = change
    if (isHeld && issuedAt > newest.issuedAt) newest = { issuedAt, tag }
    if (!isHeld && acknowledged && endedAt < earliestMissing.endedAt) earliestMissing = { endedAt, tag }
  }
  const isCut = newest.issuedAt <= earliestMissing.endedAt
  const text = `holds change ${newest.tag} and lacks ${earliestMissing.tag}, which was acknowledged before it was issued`
  assert(isCut, `G3: the recovery point ${cut.cutId} of ${cut.members.join(', ')} ${text}`)
}
