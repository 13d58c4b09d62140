import { describe, expect, test } from 'vitest'
import {
  type CompleteCut,
  type DiskDescriptor,
  emptyLineage,
  type Position,
  type RecoveryPointEvent,
} from '@blockferry/disk-stream'
import { Disk } from '../disk/disk.ts'
import { planGroup } from './batch-plan.ts'

const frameBytes = 1_000
const members = ['full', 'late']

function at(sequence: number): Position {
  return { generation: 1, generationId: '1'.repeat(32), sequence, chain: 0 }
}

function cut(cutId: string): RecoveryPointEvent {
  const rest = { groupId: 'db', members, name: null, requestId: null }
  return { kind: 'recoveryPoint', cutId, capturedAtMs: 0, wallTimeMs: 0, ...rest }
}

function complete(cutId: string, positions: Readonly<Record<string, number>>): CompleteCut {
  const places = Object.entries(positions).map(([diskId, sequence]) => [diskId, at(sequence)] as const)
  return { cut: cut(cutId), positions: new Map(places) }
}

/** A member whose journal holds these: a cut by its id, or null for a set. */
function member(
  diskId: string,
  frames: readonly (string | null)[],
  { resyncAt = -1 }: { readonly resyncAt?: number } = {},
): Disk {
  const disk = new Disk(diskId)
  disk.descriptor = { groupId: 'db' } as DiskDescriptor
  for (const [index, cutId] of frames.entries()) {
    disk.frames.push({
      lsn: index * frameBytes,
      bytes: frameBytes,
      end: at(index + 1),
      lineage: emptyLineage,
      transition: index === resyncAt ? 'resync' : 'none',
      mark: cutId === null ? null : cut(cutId),
      events: 1,
      firstCapturedAtMs: 0,
      lastCapturedAtMs: 0,
      kafkaOffset: 0n,
    })
  }
  return disk
}

function parkedAtShare(disk: Disk): Disk {
  const place = { kafkaPartition: 0, fromKafkaOffset: 9n, sinceMs: 0, oldestCapturedAtMs: null }
  disk.parked = { reason: 'share', catchingUp: false, ...place }
  return disk
}

describe('a member at its share, in a group that offers nothing (B2)', () => {
  const limits = { bytesMax: 100 * frameBytes, isPending: (cutId: string) => cutId === 'pending' }
  const countOf = (disks: readonly Disk[], cuts: readonly CompleteCut[]): number => {
    const plan = planGroup(disks, cuts, limits)
    return plan.disks.find(({ disk }) => disk.diskId === 'full')?.frameCount ?? 0
  }

  test('goes on by sets', () => {
    const full = parkedAtShare(member('full', [null, 'void', null]))
    const late = member('late', [])
    late.resyncing = true
    expect(countOf([full, late], [])).toBe(3)
  })

  test('waits at a cut that may still complete', () => {
    const full = parkedAtShare(member('full', [null, 'pending', null]))
    const late = member('late', [])
    late.resyncing = true
    expect(countOf([full, late], [])).toBe(1)
  })

  test('waits at a complete cut that a mate in its resync has yet to reach: passed, a crash would lose it', () => {
    const full = parkedAtShare(member('full', [null, 'complete', null]))
    const late = member('late', [null, 'complete'])
    late.resyncing = true
    expect(countOf([full, late], [complete('complete', { full: 2, late: 2 })])).toBe(1)
  })

  test('passes a complete cut that a mate is beyond: they will never meet there', () => {
    const full = parkedAtShare(member('full', [null, 'complete', null]))
    const late = member('late', [])
    late.resyncing = true
    late.applied = { ...emptyLineage, applied: at(5) }
    expect(countOf([full, late], [complete('complete', { full: 2, late: 2 })])).toBe(3)
  })
})

test('a member with a resync ahead of it waits before it at a complete cut that a mate in its own has yet to reach', () => {
  const limits = { bytesMax: 100 * frameBytes, isPending: () => false }
  const full = member('full', [null, 'complete', null, null], { resyncAt: 3 })
  const late = member('late', [null, 'complete'])
  late.resyncing = true
  const cuts = [complete('complete', { full: 2, late: 2 })]
  const plan = planGroup([full, late], cuts, limits)
  expect(plan.disks.find(({ disk }) => disk === full)?.frameCount).toBe(1)
  late.resyncing = false
  expect(planGroup([full, late], cuts, limits).endsAt).toBe(cuts[0])
})
