import type { AnyRecord } from '../src/decode.ts'

/** Every field of a record as JSON text, payload in hex, object keys sorted. */
export function goldenJson(any: AnyRecord): string {
  return JSON.stringify(plain(any), null, 2)
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}n`
  if (Buffer.isBuffer(value)) return `hex:${value.toString('hex')}`
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  const fields = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(fields.map(([name, field]) => [name, plain(field)]))
}
