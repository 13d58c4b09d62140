import { codeOf, Fault } from '@blockferry/runtime'

/** Which part of the applier cannot go on with a disk. Each raises and clears its own. */
export const haltOrigins = [
  'image',
  'journal',
  'stream',
  'record',
  'descriptor',
  'mirror',
  'apply',
  'checkpoint',
] as const
export type HaltOrigin = (typeof haltOrigins)[number]

/** Why a disk stands (R6). */
export interface Halt {
  readonly code: string
  readonly nextCommand: string
  readonly message: string
}

/** The halt that an error calls for. A system error (`ENOSPC`) takes the given code and keeps its own in the message. */
export function haltOf(error: unknown, fallback: Halt): Halt {
  if (error instanceof Fault) {
    return { code: error.code, nextCommand: error.nextCommand, message: error.message }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { ...fallback, message: `${codeOf(error)}: ${message}` }
}
