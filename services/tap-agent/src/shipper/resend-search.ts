import type { Position } from '@blockferry/disk-stream'
import { codeOf } from '@blockferry/runtime'
import type { Lsn } from '@blockferry/segment-log'
import { createFrameDecoder, type FrameHeader } from '../spool/frame.ts'
import type { SpoolSource } from './shipper-ports.ts'

/** What the target wants again (T3). */
export interface ResendPoint {
  readonly generation: number
  readonly fromSequence: number
}

/** Where reading begins for a re-send, and what of it lies before the first event wanted. */
export interface ResendStart {
  readonly lsn: Lsn
  readonly before: Position
}

/**
 * Finds the newest segment that begins at or before the point: segments are looked at from the end. Null when the
 * spool no longer holds it, or never held the generation.
 * @throws LOG_CORRUPT, SPOOL_FRAME_INVALID
 */
export async function findResendStart(spool: SpoolSource, point: ResendPoint): Promise<ResendStart | null> {
  const { fromSequence, generation } = point
  const { segmentBytes } = spool
  const firstLsn = await spool.firstLsn()
  const published = spool.publishedLsn()
  const count = Math.floor((published - firstLsn) / segmentBytes)
  const before = { generation, generationId: '', sequence: fromSequence - 1, chain: 0 }
  for (let back = count; back >= 0; back -= 1) {
    const lsn = firstLsn + back * segmentBytes
    const header = lsn < published ? await headerAt(spool, lsn) : null
    if (header === null) continue
    const { firstSequence, generation: owner } = header
    if (owner.number === generation && firstSequence <= fromSequence) return { lsn, before }
    // If the spool holds the generation it begins inside this segment: its first event is in here too.
    if (owner.number < generation) return (await holds(spool, { generation, lsn })) ? { lsn, before } : null
  }
  return null
}

async function holds(
  spool: SpoolSource,
  from: { readonly generation: number; readonly lsn: Lsn },
): Promise<boolean> {
  const decoder = createFrameDecoder()
  await using reader = spool.reader(from.lsn)
  for (let frame = await reader.next(); frame !== null; frame = await reader.next()) {
    const { number } = decoder.header(frame.body).generation
    if (number >= from.generation) return number === from.generation
  }
  return false
}

async function headerAt(spool: SpoolSource, lsn: Lsn): Promise<FrameHeader | null> {
  await using reader = spool.reader(lsn)
  try {
    const frame = await reader.next()
    return frame === null ? null : createFrameDecoder().header(frame.body)
  } catch (error) {
    if (codeOf(error) === 'LOG_GONE') return null
    throw error
  }
}
