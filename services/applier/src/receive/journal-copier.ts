import { type Clock, MiB } from '@blockferry/runtime'
import type { Lsn } from '@blockferry/segment-log'
import type { Disk } from '../disk/disk.ts'
import type { ApplierOptions } from '../options.ts'
import type { PendingFrame } from '../disk/pending-frame.ts'
import type { Volume } from '../volume/volume.ts'

/** Bytes copied between two rounds of receiving: the neighbours wait no longer than this takes. */
const pieceBytesMax = 16 * MiB

interface Copying {
  readonly disk: Disk
  readonly frames: readonly PendingFrame[]
  readonly lsns: Lsn[]
}

/**
 * Copies the frames of a disk that cannot advance to the journal's end, so that the space before them,
 * mostly its neighbours', can be given back (R1). While that goes on its newer records stay in Kafka B:
 * the copies must be the last frames of the disk, for replay goes by the order in the journal. A crash in
 * between leaves copies that replay drops as duplicates.
 */
export class JournalCopier {
  readonly #clock: Clock
  readonly #volume: Volume
  readonly #options: ApplierOptions
  #running: Copying | null = null

  constructor(parts: { readonly clock: Clock; readonly volume: Volume; readonly options: ApplierOptions }) {
    this.#clock = parts.clock
    this.#volume = parts.volume
    this.#options = parts.options
  }

  /** Copies one piece where that is needed. Runs between two group commits only. */
  async step(): Promise<void> {
    this.#running ??= this.#begin()
    if (this.#running === null) return
    const copying = this.#running
    const piece = nextPiece(copying)
    if (piece.length > 0) copying.lsns.push(...(await this.#copy(piece)))
    if (copying.lsns.length < copying.frames.length) return
    this.#running = null
    for (const [index, frame] of copying.frames.entries()) frame.lsn = copying.lsns[index] ?? frame.lsn
    const { disk } = copying
    const { parked } = disk
    disk.copying = false
    if (parked?.reason === 'copying') disk.parked = { ...parked, reason: 'reread' }
    await this.#volume.checkpoint.commit()
  }

  /** The disk that holds the journal's low end, when most of the journal is no longer needed by anybody. */
  #begin(): Copying | null {
    const { journal, disks } = this.#volume
    if (journal.allocatedBytes < this.#options.journalCopyForwardBytes) return null
    let neededBytes = 0
    let lowest: Disk | null = null
    for (const disk of disks.values()) {
      neededBytes += disk.frames.bytes
      const lsn = disk.frames.first?.lsn
      if (lsn !== undefined && lsn < (lowest?.frames.first?.lsn ?? Infinity)) lowest = disk
    }
    if (lowest === null || neededBytes > journal.allocatedBytes / 2) return null
    if (lowest.applying || lowest.parked?.catchingUp === true || lowest.kafkaPartition === null) return null
    lowest.parked ??= {
      reason: 'copying',
      kafkaPartition: lowest.kafkaPartition,
      fromKafkaOffset: this.#volume.cursors.get(lowest.kafkaPartition) ?? 0n,
      sinceMs: this.#clock.monotonicMs(),
      oldestCapturedAtMs: null,
      catchingUp: false,
    }
    lowest.copying = true
    return { disk: lowest, frames: lowest.frames.head(lowest.frames.length), lsns: [] }
  }

  async #copy(frames: readonly PendingFrame[]): Promise<readonly Lsn[]> {
    const { journal, stats } = this.#volume
    const bodies: (readonly Buffer[])[] = []
    await using reader = await journal.reader(frames[0]?.lsn ?? journal.firstLsn)
    for (const frame of frames) {
      reader.seek(frame.lsn)
      const found = await reader.next()
      if (found !== null) bodies.push([Buffer.from(found.body)])
    }
    stats.framesCopiedForward += bodies.length
    return journal.append(bodies)
  }
}

function nextPiece(copying: Copying): readonly PendingFrame[] {
  const piece: PendingFrame[] = []
  let bytes = 0
  for (let at = copying.lsns.length; at < copying.frames.length; at += 1) {
    const frame = copying.frames[at]
    if (frame === undefined || (bytes > 0 && bytes + frame.bytes > pieceBytesMax)) break
    piece.push(frame)
    bytes += frame.bytes
  }
  return piece
}
