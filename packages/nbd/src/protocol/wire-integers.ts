const wordSpan = 2 ** 32

/**
 * Reads a 64-bit unsigned integer as a number, without a BigInt. Above 2^53 the result is inexact but
 * still above 2^53: every such value is beyond the end of any export and refused by the bounds check.
 */
export function readUint64(buffer: Buffer, at: number): number {
  return buffer.readUInt32BE(at) * wordSpan + buffer.readUInt32BE(at + 4)
}

/** Writes a number below 2^53 as 64 bits. */
export function writeUint64(buffer: Buffer, value: number, at: number): number {
  buffer.writeUInt32BE(Math.floor(value / wordSpan), at)
  return buffer.writeUInt32BE(value % wordSpan, at + 4)
}
