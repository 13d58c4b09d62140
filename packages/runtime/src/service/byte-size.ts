const factors: Readonly<Record<string, number>> = {
  '': 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
}

/**
 * Reads a size in bytes: digits, or digits with K, M, G, T (also KiB …), always powers of 1024, as disk
 * tools use them. Null when the text is no such size or is not exact in a number (above 2^53 − 1).
 */
export function parseByteSize(text: string): number | null {
  const match = /^(\d+)(?:([KMGT])(?:iB)?)?$/i.exec(text.trim())
  if (match === null) return null
  const bytes = Number(match[1]) * (factors[(match[2] ?? '').toUpperCase()] ?? Number.NaN)
  return Number.isSafeInteger(bytes) ? bytes : null
}

/** 1073741824 → "1 GiB"; one decimal where it is not whole. For people, never parsed back. */
export function formatByteSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`
}
