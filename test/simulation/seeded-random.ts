import type { Random } from '@blockferry/runtime'

export interface SimulatedRandom extends Random {
  chance(probability: number): boolean
  /** An integer in [0, bound). */
  below(bound: number): number
  /** An integer in [least, most]. */
  between(least: number, most: number): number
  pick<T>(choices: readonly [T, ...T[]]): T
}

/** mulberry32: small, seedable, good enough to choose by. */
export function seededRandom(seed: number): SimulatedRandom {
  let state = seed >>> 0
  const uint32 = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const below = (bound: number) => uint32() % bound
  return {
    uint32,
    hex: (byteLength) => {
      let text = ''
      while (text.length < byteLength * 2) text += uint32().toString(16).padStart(8, '0')
      return text.slice(0, byteLength * 2)
    },
    chance: (probability) => uint32() < probability * 2 ** 32,
    below,
    between: (least, most) => least + below(most - least + 1),
    pick: (choices) => choices[below(choices.length)] ?? choices[0],
  }
}
