/**
 * A place in one disk's stream (design S1). Sequences count 1, 2, 3 … without holes within a
 * generation; sequence 0 is the place before its first event. `chain` is the running CRC-32 over the
 * headers and payload CRCs of all events up to and including `sequence`: two histories with equal
 * numbers differ in it.
 */
export interface Position {
  readonly generation: number
  /** 32 lower-case hex digits (128 bits). */
  readonly generationId: string
  readonly sequence: number
  /** Unsigned 32 bits. */
  readonly chain: number
}
