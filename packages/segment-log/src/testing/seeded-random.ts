import type { Random } from '@blockferry/runtime'

/** Mulberry32: the same draws for the same seed. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const uint32 = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const hex = (byteLength: number): string =>
    Array.from({ length: byteLength }, () => (uint32() & 0xff).toString(16).padStart(2, '0')).join('')
  return { uint32, hex }
}
