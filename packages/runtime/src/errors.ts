/** What a fault means to the person who reads it at 3 a.m. */
export interface CatalogueEntry {
  /** One sentence: what is wrong. */
  readonly summary: string
  /** What to run or check next; a command where there is one. */
  readonly nextCommand: string
}

/** Stable codes of one workspace; `docs/errors.md` is checked against the union of all of them. */
export type ErrorCatalogue<Code extends string = string> = Readonly<Record<Code, CatalogueEntry>>

export interface FaultOptions extends ErrorOptions {
  /** Overrides the catalogue's next command where the message knows better (a path, a disk id). */
  readonly nextCommand?: string
  /** Facts for logs and problem details: expected and found values, ids, offsets. JSON-safe. */
  readonly details?: Readonly<Record<string, unknown>>
}

/**
 * An operating error: something outside the program is not as it should be. Carries a stable `code`
 * from a workspace's catalogue, what was expected and found, and the next command. Programmer errors
 * are `AssertionError`s instead (see assert.ts) and are never caught.
 */
export class Fault extends Error {
  override readonly name: string = 'Fault'
  readonly code: string
  readonly nextCommand: string
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: string, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.nextCommand = options.nextCommand ?? ''
    this.details = options.details ?? {}
  }
}

/** Binds a workspace's catalogue to a factory, so that a code that is not catalogued does not compile. */
export function faultsOf<Code extends string>(
  catalogue: ErrorCatalogue<Code>,
): (code: Code, message: string, options?: FaultOptions) => Fault {
  return (code, message, options = {}) =>
    new Fault(code, message, { nextCommand: catalogue[code].nextCommand, ...options })
}

/** The code of a thrown value: a Fault's own, a Node system error's (`ENOSPC`), else `UNKNOWN`. */
export function codeOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string') {
    return error.code
  }
  return 'UNKNOWN'
}

/** One line for people: code, message, and what to do next where the error knows. */
export function explanationOf(error: unknown): string {
  const next = error instanceof Fault && error.nextCommand !== '' ? `; next: ${error.nextCommand}` : ''
  return `${codeOf(error)}: ${error instanceof Error ? error.message : String(error)}${next}`
}
