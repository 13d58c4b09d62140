import { parseByteSize } from './byte-size.ts'
import type { Address, OptionSpec } from './option-table.ts'

export type OptionValue = string | number | boolean | readonly string[] | Address | null

export type ParsedOption =
  | { readonly ok: true; readonly value: OptionValue }
  | { readonly ok: false; readonly expected: string }

/** Says in words what a setting accepts; the same words appear in faults, --help and the documentation. */
export function expectedOf(spec: OptionSpec): string {
  switch (spec.kind) {
    case 'integer':
      return `an integer ${rangeOf(spec)}`.trim()
    case 'boolean':
      return 'true or false'
    case 'enum':
      return `one of ${spec.values.join(', ')}`
    case 'address':
      return 'HOST:PORT'
    case 'list':
      return `a list of ${spec.expected ?? 'texts'} separated by "${spec.separator ?? ','}"${countOf(spec)}`
    case 'string':
      return spec.expected ?? (spec.pattern === undefined ? 'a text' : `a text matching ${spec.pattern}`)
  }
}

function rangeOf(spec: { readonly min?: number; readonly max?: number }): string {
  if (spec.min !== undefined && spec.max !== undefined) return `from ${spec.min} to ${spec.max}`
  if (spec.min !== undefined) return `of at least ${spec.min}`
  return spec.max === undefined ? '' : `of at most ${spec.max}`
}

function countOf(spec: { readonly itemsMin?: number; readonly itemsMax?: number }): string {
  const range = rangeOf({
    ...(spec.itemsMin === undefined ? {} : { min: spec.itemsMin }),
    ...(spec.itemsMax === undefined ? {} : { max: spec.itemsMax }),
  })
  return range === '' ? '' : `, ${range} items`
}

/** Reads one raw value (a text from a flag or the environment, anything from YAML) by its table entry. */
export function parseOptionValue(spec: OptionSpec, raw: unknown): ParsedOption {
  const value = readValue(spec, raw)
  return value === null ? { ok: false, expected: expectedOf(spec) } : { ok: true, value }
}

function readValue(spec: OptionSpec, raw: unknown): OptionValue {
  switch (spec.kind) {
    case 'integer':
      return readInteger(spec, raw)
    case 'boolean':
      if (typeof raw === 'boolean') return raw
      return raw === 'true' ? true : raw === 'false' ? false : null
    case 'enum':
      return typeof raw === 'string' && spec.values.includes(raw) ? raw : null
    case 'address':
      return typeof raw === 'string' ? parseAddress(raw) : null
    case 'list':
      return readList(spec, raw)
    case 'string':
      return typeof raw === 'string' && raw !== '' && matches(spec.pattern, raw) ? raw : null
  }
}

function matches(pattern: RegExp | undefined, text: string): boolean {
  return pattern === undefined || pattern.test(text)
}

function readInteger(spec: OptionSpec & { readonly kind: 'integer' }, raw: unknown): number | null {
  const value = typeof raw === 'string' ? integerOfText(spec, raw) : raw
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) return null
  return value < (spec.min ?? -Infinity) || value > (spec.max ?? Infinity) ? null : value
}

function integerOfText(spec: OptionSpec, text: string): number | null {
  if (spec.unit === 'bytes' || spec.unit === 'bytes/s') return parseByteSize(text)
  return /^-?\d+$/.test(text) ? Number(text) : null
}

function readList(spec: OptionSpec & { readonly kind: 'list' }, raw: unknown): readonly string[] | null {
  const items: readonly unknown[] | null =
    typeof raw === 'string' ? splitList(raw, spec.separator ?? ',') : Array.isArray(raw) ? raw : null
  if (items === null) return null
  const texts = items.filter((item): item is string => typeof item === 'string' && item !== '')
  if (texts.length !== items.length || !texts.every((text) => matches(spec.pattern, text))) return null
  return texts.length < (spec.itemsMin ?? 0) || texts.length > (spec.itemsMax ?? Infinity) ? null : texts
}

function splitList(text: string, separator: string): readonly string[] {
  return text.trim() === '' ? [] : text.split(separator).map((item) => item.trim())
}

/** HOST:PORT or [IPV6]:PORT; null when it is neither. */
export function parseAddress(text: string): Address | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text)
  if (match === null) return null
  const port = Number(match[3])
  return port > 65_535 ? null : { host: match[1] ?? match[2] ?? '', port }
}

/** The inverse of parseAddress. */
export function formatAddress(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}
