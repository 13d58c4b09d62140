import { createRequire } from 'node:module'

/** CRC-32C of bytes, as an unsigned number. */
export type Crc32c = (bytes: Uint8Array) => number

/** Native where the platform has a binding; else computed here, at about half the speed. */
export const crc32c: Crc32c = nativeCrc32c() ?? slicedCrc32c()

/** Null where there is no binding for this platform. */
export function nativeCrc32c(): Crc32c | null {
  try {
    const native = createRequire(import.meta.url)('@node-rs/crc32') as { readonly crc32c: Crc32c }
    return native.crc32c
  } catch {
    return null
  }
}

const reversedPolynomial = 0x82f63b78

/** Eight tables of 256, so that eight bytes are taken at a time ("slicing by 8"). */
export function slicedCrc32c(): Crc32c {
  const tables = new Uint32Array(8 * 256)
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : reversedPolynomial)
    tables[byte] = crc
  }
  for (let at = 256; at < tables.length; at += 1) {
    const before = tables[at - 256] ?? 0
    tables[at] = (before >>> 8) ^ (tables[before & 0xff] ?? 0)
  }
  const of = (table: number, byte: number | undefined): number => tables[table * 256 + (byte ?? 0)] ?? 0
  return (bytes) => {
    let crc = -1
    let at = 0
    for (; at + 8 <= bytes.length; at += 8) {
      const low = of(7, (crc ^ (bytes[at] ?? 0)) & 0xff) ^ of(6, ((crc >>> 8) ^ (bytes[at + 1] ?? 0)) & 0xff)
      const high =
        of(5, ((crc >>> 16) ^ (bytes[at + 2] ?? 0)) & 0xff) ^ of(4, (crc >>> 24) ^ (bytes[at + 3] ?? 0))
      const rest = of(3, bytes[at + 4]) ^ of(2, bytes[at + 5]) ^ of(1, bytes[at + 6]) ^ of(0, bytes[at + 7])
      crc = low ^ high ^ rest
    }
    for (; at < bytes.length; at += 1) crc = (crc >>> 8) ^ of(0, (crc ^ (bytes[at] ?? 0)) & 0xff)
    return ~crc >>> 0
  }
}
