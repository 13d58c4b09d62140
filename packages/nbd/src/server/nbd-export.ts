/** A run of bytes of an export. */
export interface NbdExtent {
  readonly byteOffset: number
  readonly byteLength: number
}

/** What stands behind an extent: `hole` reads as zero and is not allocated, `zero` is allocated and reads as zero. */
export interface NbdAllocation extends NbdExtent {
  readonly kind: 'data' | 'hole' | 'zero'
}

/** FUA: the promise resolves only once what the command wrote is on non-volatile storage. */
export interface NbdWriteOptions {
  readonly fua: boolean
}

export interface NbdZeroOptions extends NbdWriteOptions {
  /** False when the client set NBD_CMD_FLAG_NO_HOLE: the area must stay provisioned. */
  readonly mayUnmap: boolean
  /** NBD_CMD_FLAG_FAST_ZERO: throw ENOTSUP at once, altering nothing, unless faster than writing zeroes. */
  readonly fast: boolean
}

/**
 * One disk as the server offers it (T1). The server has already checked bounds, flags, lengths and
 * read-only, so every call lies inside `sizeBytes` and is at least one byte long. Calls of all
 * connections run concurrently. A rejected promise (or a throw) fails that one request: an NbdError with
 * its errno, anything else as errnoOf says. An AssertionError is not caught: it ends the process.
 */
export interface NbdExport {
  readonly name: string
  /** Shown to humans by NBD_OPT_LIST and INFO. */
  readonly description?: string
  /** Read again for every request, so an export may grow; a client learns the size when it connects. */
  readonly sizeBytes: number
  readonly readOnly: boolean
  /** Exactly `byteLength` bytes, in one or several buffers, which stay unchanged until sent: they are not copied. */
  read(byteOffset: number, byteLength: number): Promise<Buffer | readonly Buffer[]>
  /**
   * `data` belongs to the export from here on (until it lets go; the server never reuses the memory). It
   * may be a view into a received chunk of up to 64 KiB: holding it long holds the chunk.
   */
  write(byteOffset: number, data: Buffer, options: NbdWriteOptions): Promise<void>
  /** Resolves when every write, zero and trim whose promise resolved before this call is on non-volatile storage. */
  flush(): Promise<void>
  trim(extent: NbdExtent, options: NbdWriteOptions): Promise<void>
  writeZeroes(extent: NbdExtent, options: NbdZeroOptions): Promise<void>
  /** A hint (NBD_CMD_CACHE); doing nothing is right. */
  cache(extent: NbdExtent): Promise<void>
  /**
   * The allocation map from `extent.byteOffset` on: ascending, gapless, at least one entry, not past the end
   * of the extent; may stop early after `entriesMax` entries (1 when the client set REQ_ONE).
   */
  blockStatus(extent: NbdExtent, entriesMax: number): Promise<readonly NbdAllocation[]>
}

/** The exports of a server, looked up for each handshake: disks may come and go while it runs. */
export interface NbdExports {
  /** Names in the order NBD_OPT_LIST shows them. */
  names(): readonly string[]
  /** Undefined: NBD_REP_ERR_UNKNOWN. The empty name is the default export: the only one, when there is one. */
  find(name: string): NbdExport | undefined
}
