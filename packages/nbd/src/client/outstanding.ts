import { errnoNameOf, NbdError } from '../protocol/nbd-error.ts'
import { Command } from '../protocol/constants.ts'
import type { ReplyPart } from '../protocol/reply-parser.ts'

/** A request whose reply, or the rest of it, has not come yet; checks that the parts fit the request. */
export class Outstanding {
  readonly settled: Promise<void>
  readonly readBytes: number
  descriptors: readonly { byteLength: number; status: number }[] = []
  readonly #byteOffset: number
  readonly #type: number
  #resolve: () => void = () => undefined
  #reject: (error: Error) => void = () => undefined
  #whole: Buffer | undefined
  #assembled: Buffer | undefined
  #coveredBytes = 0
  #error: NbdError | undefined

  constructor(request: { type: number; byteOffset: number; byteLength: number }) {
    this.#type = request.type
    this.#byteOffset = request.byteOffset
    this.readBytes = request.type === Command.READ ? request.byteLength : 0
    this.settled = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** What a READ brought; call it once settled. */
  data(): Buffer {
    return this.#whole ?? this.#assembled ?? Buffer.alloc(0)
  }

  reject(error: Error): void {
    this.#reject(error)
  }

  /** Takes a part in; returns why it does not fit. */
  take(part: ReplyPart): string | undefined {
    const violation = this.#keep(part)
    if (violation !== undefined) {
      this.#reject(new NbdError('EIO', violation))
      return violation
    }
    if (!part.done) return undefined
    if (this.#error !== undefined) this.#reject(this.#error)
    else if (this.#coveredBytes !== this.readBytes) return this.#short()
    else this.#resolve()
    return undefined
  }

  #keep(part: ReplyPart): string | undefined {
    switch (part.kind) {
      case 'ok':
        return undefined
      case 'error':
        this.#error ??= new NbdError(errnoNameOf(part.errno), part.message || errnoNameOf(part.errno))
        return undefined
      case 'simpleData':
        return this.#content(this.#byteOffset, part.data)
      case 'data':
        return this.#content(part.byteOffset, part.data)
      case 'hole':
        if (part.byteLength > this.readBytes) return 'a hole outside its request'
        return this.#content(part.byteOffset, Buffer.alloc(part.byteLength))
      case 'status':
        if (this.#type !== Command.BLOCK_STATUS) return 'a block status nobody asked for'
        this.descriptors = part.descriptors
        return undefined
    }
  }

  #content(byteOffset: number, data: Buffer): string | undefined {
    const at = byteOffset - this.#byteOffset
    if (at < 0 || at + data.length > this.readBytes) return 'data outside its request'
    this.#coveredBytes += data.length
    if (data.length === this.readBytes) {
      this.#whole = data
    } else {
      this.#assembled ??= Buffer.alloc(this.readBytes)
      data.copy(this.#assembled, at)
    }
    return undefined
  }

  #short(): string {
    const why = `${this.#coveredBytes} of ${this.readBytes} bytes`
    this.#reject(new NbdError('EIO', why))
    return why
  }
}
