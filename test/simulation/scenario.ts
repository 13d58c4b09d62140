import { KiB, MiB } from '@blockferry/runtime'
import { diskLatency, type Latency } from './kernel.ts'
import { seededRandom } from './seeded-random.ts'

/** What a seed decides before anything runs. */
export interface Scenario {
  readonly seed: number
  readonly kafkaPartitions: number
  readonly disks: readonly DiskPlan[]
  readonly aggregators: number
  readonly windowAgeMsMax: number
  readonly guests: GuestPlan
  readonly tap: {
    readonly spoolBytesMax: number
    readonly segmentBytes: number
    readonly cutIntervalMs: number
  }
  readonly applier: {
    readonly applyIntervalMs: number
    readonly journalSegmentBytes: number
    readonly journalBytesMax: number
    /** The journal's disk takes long now and then: what is claimed before its sync is then soon lost. */
    readonly journalLatency: Latency
  }
  /** Simulated time with faults; then everything is repaired and must drain. */
  readonly chaosMs: number
  readonly faults: FaultPlan
}

export interface DiskPlan {
  readonly diskId: string
  readonly groupId: string | null
  readonly sizeBytes: number
  /** Share of the disk that holds data before the tap first sees it. */
  readonly filled: number
}

export interface GuestPlan {
  /** A guest that loses its connection issues the same again when the disk is back. */
  readonly retries: boolean
  readonly workersPerDisk: number
  readonly thinkMsMax: number
  /** Of 100 changes so many are longer than one event may be. */
  readonly largePercent: number
}

export interface FaultPlan {
  /** Mean decisions between two faults. */
  readonly everyDecisions: number
  readonly kinds: readonly FaultKind[]
  /** A WAN or Kafka outage may be long, and the spool small: AHEAD is expected. */
  readonly spoolMayFill: boolean
  /** Records may be lost for good, as where A's retention outruns the mirror: a resync is expected. */
  readonly recordsMayBeLost: boolean
}

export const faultKinds = [
  'killTap',
  'killAggregator',
  'killApplier',
  'killMirror',
  'stopTap',
  'stopAggregator',
  'stopApplier',
  'powerLossAtTarget',
  'pauseAny',
  'zombieAggregator',
  'kafkaAAway',
  'kafkaBAway',
  'acknowledgementLost',
  'linkCut',
  'mirrorResends',
  'journalFails',
  'retentionOutruns',
  'mirrorWiped',
  'resyncStartLost',
] as const
export type FaultKind = (typeof faultKinds)[number]

/** They take records for good that the source has been told are safe: a resync is expected. */
const lossy: readonly FaultKind[] = ['retentionOutruns', 'mirrorWiped', 'resyncStartLost']
const ordinary = faultKinds.filter((kind) => !lossy.includes(kind))

export function scenarioOf(seed: number): Scenario {
  const random = seededRandom(seed ^ 0x5eed)
  const spoolMayFill = random.chance(0.15)
  const recordsMayBeLost = random.chance(spoolMayFill ? 0.5 : 0.1)
  const kinds = ordinary.filter(() => random.chance(0.7))
  const disk = (diskId: string, groupId: string | null): DiskPlan => ({
    diskId,
    groupId,
    sizeBytes: random.pick([512 * KiB, 1 * MiB, 1 * MiB + 24 * KiB]),
    filled: random.between(0, 60) / 100,
  })
  return {
    seed,
    kafkaPartitions: random.between(1, 3),
    disks: [disk('alone', null), disk('left', 'pair'), disk('right', 'pair')],
    aggregators: random.between(1, 2),
    windowAgeMsMax: random.pick([5, 20, 100]),
    guests: {
      retries: random.chance(0.5),
      workersPerDisk: random.between(1, 3),
      thinkMsMax: random.pick([60, 200, 400]),
      largePercent: spoolMayFill ? 25 : random.between(0, 4),
    },
    tap: {
      segmentBytes: 1 * MiB,
      spoolBytesMax: (spoolMayFill ? 5 : 64) * MiB,
      cutIntervalMs: random.pick([150, 400, 1000]),
    },
    applier: {
      applyIntervalMs: random.pick([50, 250, 1000]),
      journalSegmentBytes: 6 * MiB,
      journalBytesMax: 96 * MiB,
      journalLatency: random.chance(0.4) ? { probability: 0.1, msMax: 800 } : diskLatency,
    },
    chaosMs: random.between(4_000, 10_000),
    faults: {
      everyDecisions: random.pick([150, 400, 1200]),
      kinds: recordsMayBeLost ? [...kinds, ...lossesOf(spoolMayFill)] : kinds,
      spoolMayFill,
      recordsMayBeLost,
    },
  }
}

/** A full spool may have dropped what else would be lost: recovery points would go with it, rightly. */
function lossesOf(spoolMayFill: boolean): readonly FaultKind[] {
  return spoolMayFill ? ['resyncStartLost', 'resyncStartLost'] : [...lossy, 'retentionOutruns']
}

/** A short fixed workload without faults, for killing at every await point of it. */
export function shortScenario(seed: number): Scenario {
  const scenario = scenarioOf(seed)
  return {
    ...scenario,
    kafkaPartitions: 2,
    disks: scenario.disks.map((disk) => ({ ...disk, sizeBytes: 256 * KiB, filled: 0.3 })),
    aggregators: 1,
    windowAgeMsMax: 20,
    guests: { retries: false, workersPerDisk: 2, thinkMsMax: 120, largePercent: 0 },
    tap: { ...scenario.tap, spoolBytesMax: 64 * MiB, cutIntervalMs: 150 },
    applier: { ...scenario.applier, applyIntervalMs: 100 },
    chaosMs: 1_500,
    faults: { everyDecisions: Infinity, kinds: [], spoolMayFill: false, recordsMayBeLost: false },
  }
}
