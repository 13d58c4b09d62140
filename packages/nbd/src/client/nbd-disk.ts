import type { NbdAllocation, NbdExtent, NbdWriteOptions, NbdZeroOptions } from '../server/nbd-export.ts'

/** Where an NBD server listens, and which of its exports is meant; '' is the default export. */
export type NbdTarget = ({ readonly path: string } | { readonly host: string; readonly port: number }) & {
  readonly exportName: string
}

/**
 * A disk behind NBD, as its client sees it. Requests are pipelined: all may be outstanding at once, and
 * overlapping ones have no order unless the caller waits. Each promise rejects with an NbdError (what
 * the server answered) or a Fault (the connection).
 */
export interface NbdDisk {
  readonly sizeBytes: number
  readonly readOnly: boolean
  read(byteOffset: number, byteLength: number): Promise<Buffer>
  /** `data` must not change until the promise settles. */
  write(byteOffset: number, data: Buffer, options?: Partial<NbdWriteOptions>): Promise<void>
  flush(): Promise<void>
  trim(extent: NbdExtent, options?: Partial<NbdWriteOptions>): Promise<void>
  writeZeroes(extent: NbdExtent, options?: Partial<NbdZeroOptions>): Promise<void>
  cache(extent: NbdExtent): Promise<void>
  /** The start of the extent's allocation map: at least one entry, perhaps not all; `one`: exactly one. */
  blockStatus(extent: NbdExtent, options?: { readonly one?: boolean }): Promise<readonly NbdAllocation[]>
  /** Waits for nothing: what is outstanding rejects. Says goodbye (NBD_CMD_DISC) and closes. */
  disconnect(): Promise<void>
}
