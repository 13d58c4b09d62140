import { assert } from '@blockferry/runtime'
import { idBytesMax, safeMax, uint32Max } from './limits.ts'

/*
 * Writes the Avro binary encoding into one growing buffer; with a good size hint nothing is moved and
 * the payload is copied once, to its final place. A value out of its range is our own bug: an assertion.
 */
export class AvroWriter {
  #bytes: Buffer
  #at = 0

  /** `sizeHint`: bytes to expect; growing beyond it copies. `into` is written to instead when it is large enough. */
  constructor(sizeHint: number, into?: Buffer) {
    const fits = into !== undefined && into.length >= sizeHint
    this.#bytes = fits ? into : Buffer.allocUnsafe(Math.max(64, sizeHint))
  }

  /** What was written so far: a view. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#at)
  }

  /** A long in [0, max]. */
  uint(what: string, value: number, max: number = safeMax): void {
    assert(
      Number.isSafeInteger(value) && value >= 0 && value <= max,
      `${what} is ${value}: not a whole number within [0, ${max}]`,
    )
    this.#room(10)
    // Doubling a value up to 2^53 − 1 stays exact: the result is even.
    this.#varint(value * 2)
  }

  uint32(what: string, value: number): void {
    this.uint(what, value, uint32Max)
  }

  /** A long of either sign, up to ±2^52. */
  int(what: string, value: number): void {
    assert(Number.isSafeInteger(value * 2), `${what} is ${value}: not a whole number within ±2^52`)
    this.#room(10)
    this.#varint(value < 0 ? -value * 2 - 1 : value * 2)
  }

  offset(what: string, value: bigint): void {
    assert(value >= 0n && value < 1n << 63n, `${what} is ${value}: not a Kafka offset`)
    this.#room(10)
    let rest = value << 1n
    while (rest >= 0x80n) {
      this.#bytes[this.#at] = Number(rest & 0x7fn) | 0x80
      this.#at += 1
      rest >>= 7n
    }
    this.#bytes[this.#at] = Number(rest)
    this.#at += 1
  }

  boolean(value: boolean): void {
    this.#room(1)
    this.#bytes[this.#at] = value ? 1 : 0
    this.#at += 1
  }

  double(what: string, value: number): void {
    assert(Number.isFinite(value), `${what} is ${value}: not a finite number`)
    this.#room(8)
    this.#at = this.#bytes.writeDoubleLE(value, this.#at)
  }

  /** Lower-case hex as an Avro fixed. */
  fixedHex(what: string, hex: string, byteLength: number): void {
    this.#room(byteLength)
    const written = this.#bytes.write(hex, this.#at, byteLength, 'hex')
    assert(
      written === byteLength && hex.length === 2 * byteLength && !/[A-F]/.test(hex),
      `${what} is "${hex}": not ${2 * byteLength} lower-case hex digits`,
    )
    this.#at += byteLength
  }

  string(what: string, value: string, bytesMax: number = idBytesMax): void {
    const byteLength = Buffer.byteLength(value)
    assert(byteLength <= bytesMax, `${what} has ${byteLength} bytes, at most ${bytesMax}`)
    this.uint(what, byteLength)
    this.#room(byteLength)
    this.#bytes.write(value, this.#at, 'utf8')
    this.#at += byteLength
  }

  id(what: string, value: string): void {
    assert(value !== '', `${what} is empty`)
    this.string(what, value)
  }

  bytes(what: string, value: Buffer, bytesMax: number): void {
    assert(value.length <= bytesMax, `${what} has ${value.length} bytes, at most ${bytesMax}`)
    this.uint(what, value.length)
    this.raw(value)
  }

  /** The bytes as they are, without a length. */
  raw(value: Buffer): void {
    this.#room(value.length)
    value.copy(this.#bytes, this.#at)
    this.#at += value.length
  }

  choice<Value>(what: string, choices: readonly Value[], value: Value): void {
    const index = choices.indexOf(value)
    assert(index >= 0, `${what} is ${String(value)}: unknown`)
    this.uint(what, index)
  }

  /** A union of null and one type. */
  nullable<Value>(value: Value | null, write: (value: Value) => void): void {
    this.uint('union branch', value === null ? 0 : 1)
    if (value !== null) write(value)
  }

  /** An array in one block. */
  array<Item>(
    items: readonly Item[],
    limit: { what: string; countMax: number },
    write: (item: Item) => void,
  ): void {
    this.uint(`${limit.what} count`, items.length, limit.countMax)
    if (items.length === 0) return
    for (const item of items) write(item)
    this.uint(`${limit.what} end`, 0)
  }

  #varint(zigzag: number): void {
    let rest = zigzag
    while (rest >= 0x80) {
      this.#bytes[this.#at] = (rest % 128) | 0x80
      this.#at += 1
      rest = Math.floor(rest / 128)
    }
    this.#bytes[this.#at] = rest
    this.#at += 1
  }

  #room(byteLength: number): void {
    if (this.#at + byteLength <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#at + byteLength))
    this.#bytes.copy(larger, 0, 0, this.#at)
    this.#bytes = larger
  }
}
