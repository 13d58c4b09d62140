import { KiB } from '@blockferry/runtime'

const slabBytes = 64 * KiB
/** Longer payloads get memory of their own. */
const slabPayloadBytesMax = 16 * KiB

/**
 * Memory for small payloads that span received chunks. An allocation of its own for each would cost more
 * than copying the payload; a piece of a slab is as long-lived as the slab's other pieces, which arrived
 * within the same 64 KiB of traffic. Memory is never reused: the slab is left to the collector.
 */
export class PayloadSlab {
  #slab: Buffer = Buffer.alloc(0)
  #at = 0

  allocate(byteLength: number): Buffer {
    if (byteLength > slabPayloadBytesMax) return Buffer.allocUnsafeSlow(byteLength)
    if (this.#at + byteLength > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(slabBytes)
      this.#at = 0
    }
    const payload = this.#slab.subarray(this.#at, this.#at + byteLength)
    this.#at += byteLength
    return payload
  }
}
