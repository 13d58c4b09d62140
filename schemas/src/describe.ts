import type { AnyRecord } from './decode.ts'

/** Bytes of a payload shown by `topic inspect`. */
const payloadShownBytes = 32

/** A record as plain JSON for people: offsets as decimal strings, a payload as its length and first bytes. */
export function describeRecord({ kind, record }: AnyRecord): Readonly<Record<string, unknown>> {
  return { kind, ...(plain(record) as object) }
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (Buffer.isBuffer(value)) {
    return { byteLength: value.length, startsWith: value.toString('hex', 0, payloadShownBytes) }
  }
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]))
}
