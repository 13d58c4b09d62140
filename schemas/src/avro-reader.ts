import { isUtf8 } from 'node:buffer'
import { fault } from './error-catalogue.ts'
import { idBytesMax, safeMax, uint32Max } from './limits.ts'

/*
 * Reads the Avro binary encoding from bytes that nobody has vouched for. A reader of our own, because
 * avsc's decoder finds a truncated record only after it has built it: a damaged array count makes it
 * push items until memory ends, and it copies `bytes`. The tests hold this reader and avsc against each other.
 *
 * Invariant AR1: nothing is read beyond the end of the record: TRUNCATED_RECORD.
 * Invariant AR2: a length or count is compared with its limit before anything is allocated for it: RECORD_TOO_LONG.
 */
export class AvroReader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, from: number) {
    this.#bytes = bytes
    this.#at = from
  }

  get remainingBytes(): number {
    return this.#bytes.length - this.#at
  }

  /** A long in [0, max]; a negative or larger one is INVALID_RECORD. */
  uint(what: string, max: number = safeMax): number {
    const first = this.#byte()
    if ((first & 1) !== 0) throw fault('INVALID_RECORD', `${what} is negative`)
    // Exact up to 2^54 because the zigzag of a non-negative long is even.
    const value = this.#zigzag(first) / 2
    if (value > max) throw fault('INVALID_RECORD', `${what} is ${value}, its limit is ${max}`)
    return value
  }

  uint32(what: string): number {
    return this.uint(what, uint32Max)
  }

  /** A long of either sign, up to ±2^52. */
  int(what: string): number {
    const first = this.#byte()
    const value = this.#zigzag(first)
    if (value > safeMax) throw fault('INVALID_RECORD', `${what} is beyond ±2^52`)
    return (first & 1) === 0 ? value / 2 : -(value + 1) / 2
  }

  /** A long as a bigint in [0, 2^63): Kafka offsets. */
  offset(what: string): bigint {
    let value = 0n
    let shift = 0n
    for (;;) {
      const byte = this.#byte()
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) break
      shift += 7n
      if (shift > 63n) throw fault('INVALID_RECORD', `${what} is longer than a long`)
    }
    if (value >= 1n << 64n || (value & 1n) !== 0n) {
      throw fault('INVALID_RECORD', `${what} is not a Kafka offset`)
    }
    return value >> 1n
  }

  boolean(what: string): boolean {
    const byte = this.#byte()
    if (byte > 1) throw fault('INVALID_RECORD', `${what} is ${byte}, not a boolean`)
    return byte === 1
  }

  /** A finite double. */
  double(what: string): number {
    this.#need(8)
    const value = this.#bytes.readDoubleLE(this.#at)
    this.#at += 8
    if (!Number.isFinite(value)) throw fault('INVALID_RECORD', `${what} is not a finite number`)
    return value
  }

  /** An Avro fixed as lower-case hex. */
  fixedHex(byteLength: number): string {
    this.#need(byteLength)
    const hex = this.#bytes.toString('hex', this.#at, this.#at + byteLength)
    this.#at += byteLength
    return hex
  }

  string(what: string, bytesMax: number = idBytesMax): string {
    const byteLength = this.#length(what, bytesMax)
    const view = this.#bytes.subarray(this.#at, this.#at + byteLength)
    if (!isUtf8(view)) throw fault('INVALID_RECORD', `${what} is not UTF-8`)
    this.#at += byteLength
    return view.toString('utf8')
  }

  /** A string that must not be empty. */
  id(what: string): string {
    const value = this.string(what)
    if (value === '') throw fault('INVALID_RECORD', `${what} is empty`)
    return value
  }

  /** Avro bytes as a view into the message: no copy. */
  bytes(what: string, bytesMax: number): Buffer {
    const byteLength = this.#length(what, bytesMax)
    const view = this.#bytes.subarray(this.#at, this.#at + byteLength)
    this.#at += byteLength
    return view
  }

  /** One of an enum's symbols or a union's branches. */
  choice<Value>(what: string, choices: readonly Value[]): Value {
    const index = this.uint(what)
    if (index >= choices.length)
      throw fault('INVALID_RECORD', `${what} is number ${index} of ${choices.length}`)
    return choices[index] as Value
  }

  /** A union of null and one type. */
  nullable<Value>(what: string, read: () => Value): Value | null {
    return this.uint(what, 1) === 0 ? null : read()
  }

  /** An array in its blocks. Every item takes at least one byte, so a count is bounded by what remains. */
  array<Item>(what: string, countMax: number, read: () => Item): Item[] {
    const items: Item[] = []
    for (;;) {
      const claimed = this.int(`${what} count`)
      if (claimed === 0) return items
      // A negative count is followed by the block's length in bytes (Avro specification, arrays).
      if (claimed < 0) this.uint(`${what} block length`)
      const count = Math.abs(claimed)
      if (items.length + count > countMax) {
        throw fault('RECORD_TOO_LONG', `${what}: ${items.length + count} items, at most ${countMax}`)
      }
      this.#need(count)
      for (let item = 0; item < count; item += 1) items.push(read())
    }
  }

  /** Nothing may follow the record. */
  end(): void {
    if (this.remainingBytes !== 0) {
      throw fault('INVALID_RECORD', `${this.remainingBytes} bytes follow the record`)
    }
  }

  #length(what: string, bytesMax: number): number {
    const byteLength = this.uint(`${what} length`)
    if (byteLength > bytesMax) {
      throw fault('RECORD_TOO_LONG', `${what} has ${byteLength} bytes, at most ${bytesMax}`)
    }
    this.#need(byteLength)
    return byteLength
  }

  #need(byteLength: number): void {
    if (byteLength > this.remainingBytes) {
      throw fault('TRUNCATED_RECORD', `${byteLength} more bytes are needed, ${this.remainingBytes} remain`)
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw fault('TRUNCATED_RECORD', 'the message ends inside a number')
    this.#at += 1
    return byte
  }

  /** The raw zigzag value that starts with `first`; loses its lowest bits above 2^53. */
  #zigzag(first: number): number {
    let value = first & 0x7f
    let scale = 128
    let byte = first
    while (byte >= 0x80) {
      if (scale >= 2 ** 63) throw fault('INVALID_RECORD', 'a number is longer than a long')
      byte = this.#byte()
      value += (byte & 0x7f) * scale
      scale *= 128
    }
    return value
  }
}
