/** One segment file, as a port: the same log code runs on a file system and in simulated memory. */
export interface SegmentFile {
  /** Reads from `position`; returns the bytes read, fewer than `into` holds only at the end of the file. */
  read(position: number, into: Buffer): Promise<number>
  /** Writes all buffers one after another, or throws having written any part of them. */
  write(position: number, data: readonly Buffer[]): Promise<void>
  /** Makes bytes read as zero and keeps their space. */
  zero(position: number, byteLength: number): Promise<void>
  /** fdatasync. */
  sync(): Promise<void>
  close(): Promise<void>
}

/** The directory of one log. */
export interface SegmentFiles {
  /** All names in the directory. */
  list(): Promise<readonly string[]>
  /** A new file of `byteLength` zero bytes whose space is reserved; leaves nothing behind when it throws. */
  create(name: string, byteLength: number): Promise<SegmentFile>
  /** Null when there is no such file. */
  open(name: string, options: { readonly readOnly: boolean }): Promise<SegmentFile | null>
  /** Removes a name; descriptors that are open go on working. A missing name is no error. */
  remove(name: string): Promise<void>
  /** Makes created and removed names durable. */
  sync(): Promise<void>
}
