import type { Generation, Position } from '@blockferry/disk-stream'
import { assert, KiB } from '@blockferry/runtime'
import type { Lsn } from '@blockferry/segment-log'
import { fault } from '../error-catalogue.ts'
import type { KnownSource } from './source.ts'

/** Durable modes; SPOOLING is STREAMING with Kafka away, FAILED is AHEAD with the storage away. */
export type DurableMode = 'STREAMING' | 'RESYNCING' | 'AHEAD'

/** Where the shipper goes on: everything through `position` was acknowledged by Kafka of this site. */
export interface ShipHint {
  readonly position: Position
  /** A frame at or before the first one that holds something later. */
  readonly lsn: Lsn
}

/** What the control slots of one disk hold (T5). Start-up believes it. */
export interface ControlRecord {
  readonly formatVersion: 2
  readonly mode: DurableMode
  /** Why the disk is AHEAD; null otherwise. */
  readonly aheadCode: string | null
  /** The running generation, in AHEAD the last one; null until one was minted. */
  readonly generation: Generation | null
  /** Highest generation number this state directory ever saw. */
  readonly generationSeenMax: number
  /** Where the last generation ended for this writer, once AHEAD; its successor's predecessor. */
  readonly endPosition: Position | null
  /** The spool was durable up to here: one that ends before is corrupt. */
  readonly durableThroughLsn: Lsn
  /** Last position whose segment was deleted, for whatever reason; durable before the deletion (T6). */
  readonly evictedThrough: Position | null
  /** The source last served; null until one was, and in records of format 1. */
  readonly source: KnownSource | null
  readonly bootId: string
  readonly cleanShutdown: boolean
  readonly kafkaPartition: number | null
  readonly shipped: ShipHint | null
  /** Frozen in AHEAD and RESYNCING (T7). */
  readonly consistentAsOfMs: number | null
  /** AHEADs since the last `resyncDone`; NOT_CONVERGING at three. */
  readonly aheadCount: number
}

export function newControlRecord(bootId: string): ControlRecord {
  return {
    formatVersion: 2,
    mode: 'AHEAD',
    aheadCode: 'AWAITING_KAFKA',
    generation: null,
    generationSeenMax: 0,
    endPosition: null,
    durableThroughLsn: 0,
    evictedThrough: null,
    source: null,
    bootId,
    cleanShutdown: false,
    kafkaPartition: null,
    shipped: null,
    consistentAsOfMs: null,
    aheadCount: 0,
  }
}

/** A record must fit the first page of its slot: only so a kill cannot tear it, and one bad slot means rot (C6). */
export const controlRecordBytesMax = 3 * KiB

export function encodeControlRecord(record: ControlRecord): Buffer {
  const bytes = Buffer.from(JSON.stringify(record))
  assert(bytes.length <= controlRecordBytesMax, 'a control record fits the first page of its slot')
  return bytes
}

/**
 * Reads this format and the one before it; null when the content is no control record, although its checksum held.
 * @throws STATE_VERSION_UNKNOWN for a record of a later version
 */
export function decodeControlRecord(bytes: Buffer): ControlRecord | null {
  const parsed = parse(bytes)
  if (parsed === null) return null
  const { formatVersion, ...content } = parsed
  if (formatVersion === 2) return { ...content, formatVersion }
  if (formatVersion === 1) return { ...content, formatVersion: 2, source: null }
  throw fault('STATE_VERSION_UNKNOWN', `the control slots are of format version ${formatVersion}`)
}

type AnyRecord = Omit<ControlRecord, 'formatVersion'> & { readonly formatVersion: number }

function parse(bytes: Buffer): AnyRecord | null {
  try {
    const parsed = JSON.parse(bytes.toString()) as AnyRecord | null
    return Number.isInteger(parsed?.formatVersion) ? parsed : null
  } catch {
    return null
  }
}
