import { ByteQueue } from '../protocol/byte-queue.ts'
import {
  allocationContextId,
  allocationContextName,
  HandshakeFlag,
  Info,
  Magic,
  Option,
  optionHeaderBytes,
  OptionReply,
} from '../protocol/constants.ts'
import {
  decodeInfoRequest,
  decodeMetaContextRequest,
  decodeName,
  encodeBlockSizeInfo,
  encodeExportInfo,
  encodeExportNameAnswer,
  encodeMetaContext,
  encodeOptionReply,
  encodeServerEntry,
  encodeTextInfo,
} from '../protocol/option-codec.ts'
import type { NbdServerLimits } from './limits.ts'
import type { NbdExport, NbdExports } from './nbd-export.ts'
import type { NbdCloseReason } from './nbd-observer.ts'
import { transmissionFlagsOf } from './transmission-flags.ts'

/** What the transmission phase runs under. */
export interface Negotiated {
  readonly disk: NbdExport
  readonly structuredReplies: boolean
  /** base:allocation was selected, for this very export. */
  readonly allocationContext: boolean
}

export type NegotiationOutcome =
  | { readonly kind: 'haggling' }
  /** `rest`: bytes that came after the last option. */
  | { readonly kind: 'transmission'; readonly negotiated: Negotiated; readonly rest: Buffer }
  | { readonly kind: 'close'; readonly reason: NbdCloseReason }

export interface NegotiationOptions {
  readonly exports: NbdExports
  readonly limits: NbdServerLimits
  readonly reply: (bytes: Buffer) => void
  readonly shuttingDown: () => boolean
}

const haggling: NegotiationOutcome = { kind: 'haggling' }
/** Skipping longer option data than this many times the limit is work for nothing. */
const skipFactorMax = 16

/** Fixed newstyle negotiation of one connection, after the server's greeting: client bytes in, replies out. */
export class Negotiation {
  readonly #options: NegotiationOptions
  readonly #received = new ByteQueue()
  #clientFlags: number | undefined
  #structuredReplies = false
  /** The export base:allocation was last selected for. */
  #contextOf: NbdExport | undefined
  #skipping: { option: number; bytes: number } | undefined

  constructor(options: NegotiationOptions) {
    this.#options = options
  }

  push(chunk: Buffer): NegotiationOutcome {
    this.#received.append(chunk)
    for (;;) {
      const outcome = this.#step()
      if (outcome === undefined) return haggling
      if (outcome.kind !== 'haggling') return outcome
    }
  }

  /** One message; undefined when it is not all there yet. */
  #step(): NegotiationOutcome | undefined {
    if (this.#clientFlags === undefined) return this.#readClientFlags()
    if (this.#skipping !== undefined) return this.#skip(this.#skipping)
    const header = this.#received.peek(optionHeaderBytes)
    if (header === undefined) return this.#garbageSoFar() ? close('handshakeGarbage') : undefined
    if (!header.subarray(0, 8).equals(Magic.iHaveOpt)) return close('handshakeGarbage')
    const option = header.readUInt32BE(8)
    const dataBytes = header.readUInt32BE(12)
    if (dataBytes > this.#options.limits.optionBytesMax) return this.#refuseLong(option, dataBytes)
    const message = this.#received.take(optionHeaderBytes + dataBytes)
    return message && this.#handle(option, message.subarray(optionHeaderBytes))
  }

  #readClientFlags(): NegotiationOutcome | undefined {
    const flags = this.#received.take(4)?.readUInt32BE(0)
    if (flags === undefined) return undefined
    // "The server MUST drop the TCP connection if the client sets an unknown flag."
    const unknown = flags & ~(HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES)
    if (unknown !== 0) return close('handshakeGarbage')
    this.#clientFlags = flags
    return haggling
  }

  /** A wrong magic is refused at its first wrong byte: a garbage client that waits is not waited for. */
  #garbageSoFar(): boolean {
    const seenBytes = Math.min(this.#received.byteLength, Magic.iHaveOpt.length)
    const seen = this.#received.peek(seenBytes)
    return seen !== undefined && !seen.equals(Magic.iHaveOpt.subarray(0, seenBytes))
  }

  #refuseLong(option: number, dataBytes: number): NegotiationOutcome {
    const hopeless = dataBytes > this.#options.limits.optionBytesMax * skipFactorMax
    if (hopeless || option === Option.EXPORT_NAME) return close('optionTooLong')
    this.#received.take(optionHeaderBytes)
    this.#skipping = { option, bytes: dataBytes }
    return haggling
  }

  #skip(skipping: { option: number; bytes: number }): NegotiationOutcome | undefined {
    skipping.bytes -= this.#received.discard(skipping.bytes)
    if (skipping.bytes > 0) return undefined
    this.#skipping = undefined
    return this.#answer(skipping.option, OptionReply.ERR_TOO_BIG)
  }

  #handle(option: number, data: Buffer): NegotiationOutcome {
    if (this.#options.shuttingDown() && option !== Option.ABORT) {
      if (option === Option.EXPORT_NAME) return close('shutdown')
      return this.#answer(option, OptionReply.ERR_SHUTDOWN)
    }
    switch (option) {
      case Option.EXPORT_NAME:
        return this.#exportName(data)
      case Option.ABORT:
        this.#answer(option, OptionReply.ACK)
        return close('aborted')
      case Option.LIST:
        return this.#list(data)
      case Option.INFO:
      case Option.GO:
        return this.#infoOrGo(option, data)
      case Option.STRUCTURED_REPLY:
        if (data.length > 0) return this.#answer(option, OptionReply.ERR_INVALID)
        this.#structuredReplies = true
        return this.#answer(option, OptionReply.ACK)
      case Option.LIST_META_CONTEXT:
      case Option.SET_META_CONTEXT:
        return this.#metaContext(option, data)
      default:
        // NBD_OPT_STARTTLS too: without TLS support the answer is NBD_REP_ERR_UNSUP ("NOTLS mode").
        return this.#answer(option, OptionReply.ERR_UNSUP)
    }
  }

  #exportName(data: Buffer): NegotiationOutcome {
    const name = decodeName(data)
    const disk = name === undefined ? undefined : this.#find(name)
    // "If the server is unwilling to allow the export, it MUST terminate the session."
    if (disk === undefined) return close('unknownExport')
    const zeroes = ((this.#clientFlags ?? 0) & HandshakeFlag.NO_ZEROES) === 0
    this.#options.reply(encodeExportNameAnswer(this.#infoOf(disk), zeroes))
    return this.#enter(disk)
  }

  #list(data: Buffer): NegotiationOutcome {
    if (data.length > 0) return this.#answer(Option.LIST, OptionReply.ERR_INVALID)
    for (const name of this.#options.exports.names()) {
      const description = this.#options.exports.find(name)?.description
      this.#answer(Option.LIST, OptionReply.SERVER, encodeServerEntry(name, description))
    }
    return this.#answer(Option.LIST, OptionReply.ACK)
  }

  #infoOrGo(option: number, data: Buffer): NegotiationOutcome {
    const request = decodeInfoRequest(data)
    if (request === undefined) return this.#answer(option, OptionReply.ERR_INVALID)
    const disk = this.#find(request.name)
    if (disk === undefined) return this.#answer(option, OptionReply.ERR_UNKNOWN)
    this.#answer(option, OptionReply.INFO, encodeExportInfo(this.#infoOf(disk)))
    for (const type of new Set(request.infoTypes)) {
      const info = this.#optionalInfo(disk, type)
      if (info !== undefined) this.#answer(option, OptionReply.INFO, info)
    }
    this.#answer(option, OptionReply.ACK)
    return option === Option.GO ? this.#enter(disk) : haggling
  }

  #optionalInfo(disk: NbdExport, type: number): Buffer | undefined {
    switch (type) {
      case Info.NAME:
        return encodeTextInfo(Info.NAME, disk.name)
      case Info.DESCRIPTION:
        return encodeTextInfo(Info.DESCRIPTION, disk.description ?? '')
      case Info.BLOCK_SIZE:
        return encodeBlockSizeInfo(this.#options.limits.payloadBytesMax)
      default:
        return undefined
    }
  }

  #metaContext(option: number, data: Buffer): NegotiationOutcome {
    const setting = option === Option.SET_META_CONTEXT
    // "Issuing this command replaces all previously-set metadata contexts (including when this command fails)."
    if (setting) this.#contextOf = undefined
    const request = decodeMetaContextRequest(data)
    if (request === undefined || !this.#structuredReplies) {
      return this.#answer(option, OptionReply.ERR_INVALID)
    }
    const disk = this.#find(request.name)
    if (disk === undefined) return this.#answer(option, OptionReply.ERR_UNKNOWN)
    const listed = !setting && (request.queries.length === 0 || request.queries.includes('base:'))
    if (listed || request.queries.includes(allocationContextName)) {
      if (setting) this.#contextOf = disk
      const context = encodeMetaContext(setting ? allocationContextId : 0)
      this.#answer(option, OptionReply.META_CONTEXT, context)
    }
    return this.#answer(option, OptionReply.ACK)
  }

  #find(name: string): NbdExport | undefined {
    const { exports } = this.#options
    const found = exports.find(name)
    if (found !== undefined || name !== '') return found
    const names = exports.names()
    return names.length === 1 ? exports.find(names[0] as string) : undefined
  }

  #infoOf(disk: NbdExport): { sizeBytes: number; transmissionFlags: number } {
    const transmissionFlags = transmissionFlagsOf(disk, this.#structuredReplies)
    return { sizeBytes: disk.sizeBytes, transmissionFlags }
  }

  #enter(disk: NbdExport): NegotiationOutcome {
    const allocationContext = this.#contextOf === disk
    const negotiated = { disk, structuredReplies: this.#structuredReplies, allocationContext }
    return { kind: 'transmission', negotiated, rest: this.#received.takeAll() }
  }

  #answer(option: number, type: number, data?: Buffer): NegotiationOutcome {
    this.#options.reply(encodeOptionReply(data === undefined ? { option, type } : { option, type, data }))
    return haggling
  }
}

function close(reason: NbdCloseReason): NegotiationOutcome {
  return { kind: 'close', reason }
}
