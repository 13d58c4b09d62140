import avro from 'avsc'

/*
 * CRC-64-AVRO (Avro specification, "Schema Fingerprints"): a 64-bit Rabin fingerprint of a schema's
 * parsing canonical form. Not needed to encode or decode: fingerprints.json holds the results, and a
 * test compares both, so that a schema cannot change without a new version.
 */

/** The fingerprint of no bytes. */
const empty = 0xc15d213aa4d7a795n

const table = Array.from({ length: 256 }, (_, byte) => {
  let value = BigInt(byte)
  for (let bit = 0; bit < 8; bit += 1) value = (value >> 1n) ^ (empty & -(value & 1n))
  return BigInt.asUintN(64, value)
})

/** CRC-64-AVRO of bytes, unsigned. */
export function crc64Avro(bytes: Uint8Array): bigint {
  let value = empty
  for (const byte of bytes) {
    value = (value >> 8n) ^ (table[Number((value ^ BigInt(byte)) & 0xffn)] ?? 0n)
  }
  return value
}

/** The parsing canonical form of a schema, as avsc derives it. */
export function canonicalForm(schema: unknown): string {
  return JSON.stringify(avro.Type.forSchema(schema as avro.Schema, { wrapUnions: true }).schema())
}

/** A schema's fingerprint as it stands in a message: 16 hex digits, little-endian. */
export function fingerprintOf(schema: unknown): string {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(crc64Avro(Buffer.from(canonicalForm(schema))))
  return bytes.toString('hex')
}
