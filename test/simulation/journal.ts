import type { Digest } from './digest.ts'

/** What happened in a run, for people; every line is part of the run's digest. */
export class RunJournal {
  readonly #digest: Digest
  readonly #nowMs: () => number
  readonly #print: ((line: string) => void) | null
  readonly #lines: string[] = []

  constructor(parts: {
    readonly digest: Digest
    readonly nowMs: () => number
    readonly print?: (line: string) => void
  }) {
    this.#digest = parts.digest
    this.#nowMs = parts.nowMs
    this.#print = parts.print ?? null
  }

  note(who: string, text: string): void {
    const line = `${this.#nowMs().toFixed(3).padStart(10)} ${who.padEnd(14)} ${text}`
    this.#digest.text(line)
    this.#print?.(line)
    this.#lines.push(line)
    if (this.#lines.length > 4_000) this.#lines.splice(0, 1_000)
  }

  /** The newest lines. */
  tail(count: number): readonly string[] {
    return this.#lines.slice(-count)
  }
}
