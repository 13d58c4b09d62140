import type { Extent } from '@blockferry/disk-stream'

/** What stands behind an extent of a device. `data` may still read as zero; `hole` always does. */
export interface Allocation extends Extent {
  readonly kind: 'data' | 'hole'
}

/** Tells a file from another that took its name. Device numbers do not: they may change with every boot. */
export interface FileIdentity {
  readonly inode: string
  /** When the file was made, ns since the epoch; null where the file system does not record it. */
  readonly bornAtNs: string | null
}

/**
 * Local storage of one disk: the source's file at the tap, the target image at the applier
 * (T2, R4). Offsets and lengths are bytes. Every call either does all of its work or throws; a short
 * read or write never returns. Implementations: raw file, memory (simulation); wrappers inject faults.
 */
export interface BlockDevice extends AsyncDisposable {
  readonly sizeBytes: number
  readonly readOnly: boolean
  /** True when zeroExtent with mayUnmap gives space back. */
  readonly punchesHoles: boolean
  /** True when zeroing without unmapping is no writing of zeroes. */
  readonly zeroesRanges: boolean
  /** Null for storage that is no file. */
  readonly fileIdentity: FileIdentity | null
  /** Fills `into` from `byteOffset`. */
  read(byteOffset: number, into: Buffer): Promise<void>
  /** Writes the buffers one after another at `byteOffset`. Durable after the next flush. */
  write(byteOffset: number, data: readonly Buffer[]): Promise<void>
  /** Makes the extent read as zero; gives its space back when `mayUnmap` and possible (S7). */
  zero(extent: Extent, options: { readonly mayUnmap: boolean }): Promise<void>
  /** fdatasync. After a failure the device must be reopened: the page cache may hold unwritten lies. */
  flush(): Promise<void>
  /** The allocation map of an extent, ascending, gapless, at most `entriesMax` entries from its start (SEEK_DATA/SEEK_HOLE). */
  allocations(extent: Extent, entriesMax: number): Promise<readonly Allocation[]>
  /** Bytes of storage the device occupies. */
  allocatedBytes(): Promise<number>
  close(): Promise<void>
}
