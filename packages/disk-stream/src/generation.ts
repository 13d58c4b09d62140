import type { Position } from './position.ts'

/** Why a generation was minted (S2). */
export const generationReasons = ['initial', 'continuity-lost', 'resync', 'owner-changed'] as const
export type GenerationReason = (typeof generationReasons)[number]

/**
 * The state directory's own logical clock (T5): `agentId` is kept in the directory, `counter` only
 * grows. A directory put back from a copy shows by a stamp lower than one the target has seen.
 */
export interface Stamp {
  readonly agentId: string
  readonly counter: number
}

/**
 * What a resync starts from (T6). `none`: no resync, the stream continues its predecessor.
 * `full`: nothing is assumed of the target. `position`: the target must hold everything up to it.
 */
export type GenerationBase =
  | { readonly kind: 'none' }
  | { readonly kind: 'full' }
  | { readonly kind: 'position'; readonly position: Position }

/** An unbroken run of one disk's stream under one writer (S2). Equal number with another id is SPLIT_BRAIN. */
export interface Generation {
  /** 1 + the highest ever seen. */
  readonly number: number
  /** 32 lower-case hex digits, random. */
  readonly id: string
  readonly ownerSite: string
  readonly reason: GenerationReason
  readonly base: GenerationBase
  /** Where the generation before ended for this writer; null for the first. */
  readonly predecessor: Position | null
  readonly stamp: Stamp
}
