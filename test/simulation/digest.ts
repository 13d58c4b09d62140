/** A running 64-bit fingerprint of everything a run decided and saw: equal runs, equal digests. */
export class Digest {
  #low = 0x811c9dc5
  #high = 0x9e3779b9

  number(value: number): void {
    this.#low = Math.imul(this.#low ^ (value | 0), 0x01000193)
    this.#high = (Math.imul(this.#high ^ this.#low, 0x85ebca6b) + value) | 0
  }

  text(value: string): void {
    for (let at = 0; at < value.length; at += 1) this.number(value.charCodeAt(at))
    this.number(-1)
  }

  toString(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('')
  }
}
