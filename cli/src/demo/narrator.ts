import type { Writable } from 'node:stream'

export interface Check {
  readonly name: string
  readonly held: boolean
  readonly detail: string
}

/** Tells the demo's story: to a human in lines, to a machine (`--json`) in one event per line. */
export class Narrator {
  readonly checks: Check[] = []
  readonly #out: Writable
  readonly #json: boolean
  readonly #startedMs = performance.now()

  constructor(out: Writable, options: { readonly json: boolean }) {
    this.#out = out
    this.#json = options.json
  }

  #elapsedMs(): number {
    return Math.round(performance.now() - this.#startedMs)
  }

  #emit(event: Readonly<Record<string, unknown>>, human: string): void {
    if (this.#json) this.#out.write(`${JSON.stringify({ ...event, elapsedMs: this.#elapsedMs() })}\n`)
    else this.#out.write(`${human}\n`)
  }

  /** A step of the story begins. */
  step(title: string): void {
    const seconds = (this.#elapsedMs() / 1000).toFixed(1).padStart(5)
    this.#emit({ event: 'step', title }, `\n${seconds} s  ${title}`)
  }

  say(text: string): void {
    this.#emit({ event: 'info', text }, `         ${text}`)
  }

  /** A live line of the lag feed. */
  lag(facts: Readonly<Record<string, unknown>>, human: string): void {
    this.#emit({ event: 'lag', ...facts }, `         ┊ ${human}`)
  }

  check(name: string, held: boolean, detail: string): void {
    this.checks.push({ name, held, detail })
    this.#emit({ event: 'check', name, held, detail }, `         ${held ? '✔' : '✘'} ${name}: ${detail}`)
  }

  table(figures: Readonly<Record<string, string>>): void {
    const width = Math.max(...Object.keys(figures).map((name) => name.length))
    const lines = Object.entries(figures).map(([name, value]) => `         ${name.padEnd(width)}  ${value}`)
    this.#emit({ event: 'figures', figures }, lines.join('\n'))
  }

  get failed(): boolean {
    return this.checks.some((check) => !check.held)
  }

  end(): void {
    const failed = this.checks.filter((check) => !check.held)
    const seconds = Math.round(this.#elapsedMs() / 1000)
    const verdict =
      failed.length === 0
        ? `All ${this.checks.length} checks held, in ${seconds} seconds.`
        : `${failed.length} of ${this.checks.length} checks FAILED: ${failed.map((check) => check.name).join(', ')}.`
    this.#emit(
      { event: 'end', passed: this.checks.length - failed.length, failed: failed.length },
      `\n${verdict}`,
    )
  }
}
