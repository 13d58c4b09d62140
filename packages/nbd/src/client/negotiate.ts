import { ByteQueue } from '../protocol/byte-queue.ts'
import {
  allocationContextName,
  HandshakeFlag,
  Info,
  Magic,
  Option,
  OptionReply,
  optionReplyHeaderBytes,
} from '../protocol/constants.ts'
import type { ExportInfo } from '../protocol/option-codec.ts'
import {
  decodeExportInfo,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
} from '../protocol/option-codec.ts'
import { fault } from '../error-catalogue.ts'

/** What the client learned about its export. */
export interface Offered extends ExportInfo {
  readonly structuredReplies: boolean
  readonly allocationContext: boolean
  /** Maximum payload size of READ and WRITE. */
  readonly payloadBytesMax: number
}

const greetingBytes = 18
/** "a maximum payload size that is at least 2^25" where the server tells none. */
const payloadBytesDefault = 2 ** 25
const optionReplyBytesMax = 64 * 1024

/** The client's side of fixed newstyle negotiation as a state machine: server bytes in, client bytes out. */
export class ClientNegotiation {
  readonly #exportName: string
  readonly #send: (bytes: Buffer) => void
  readonly #received = new ByteQueue()
  #waitingFor: 'greeting' | number = 'greeting'
  #info: ExportInfo | undefined
  #structuredReplies = false
  #allocationContext = false
  #payloadBytesMax = payloadBytesDefault

  constructor(exportName: string, send: (bytes: Buffer) => void) {
    this.#exportName = exportName
    this.#send = send
  }

  /**
   * Undefined while it goes on. `rest`: bytes that already belong to the transmission phase.
   * @throws NBD_EXPORT_REFUSED, NBD_PROTOCOL_VIOLATION
   */
  push(chunk: Buffer): { offered: Offered; rest: Buffer } | undefined {
    this.#received.append(chunk)
    while (this.#info === undefined || this.#waitingFor !== 'greeting') {
      const message = this.#waitingFor === 'greeting' ? this.#greet() : this.#answer(this.#waitingFor)
      if (message === 'incomplete') return undefined
      if (message === 'entered') break
    }
    const info = this.#info
    if (info === undefined) throw violation('no NBD_INFO_EXPORT')
    const offered = {
      ...info,
      structuredReplies: this.#structuredReplies,
      allocationContext: this.#allocationContext,
      payloadBytesMax: this.#payloadBytesMax,
    }
    return { offered, rest: this.#received.takeAll() }
  }

  #greet(): 'incomplete' | 'parsed' {
    const greeting = this.#received.take(greetingBytes)
    if (greeting === undefined) return 'incomplete'
    const magics = Buffer.concat([Magic.initPasswd, Magic.iHaveOpt])
    const fixed = (greeting.readUInt16BE(16) & HandshakeFlag.FIXED_NEWSTYLE) !== 0
    if (!greeting.subarray(0, 16).equals(magics) || !fixed) throw violation('no fixed newstyle greeting')
    const flags = Buffer.alloc(4)
    flags.writeUInt32BE(HandshakeFlag.FIXED_NEWSTYLE | (greeting.readUInt16BE(16) & HandshakeFlag.NO_ZEROES))
    this.#send(flags)
    this.#ask(Option.STRUCTURED_REPLY)
    return 'parsed'
  }

  #answer(option: number): 'incomplete' | 'parsed' | 'entered' {
    const header = this.#received.peek(optionReplyHeaderBytes)
    if (header === undefined) return 'incomplete'
    const dataBytes = header.readUInt32BE(16)
    const wrong = !header.subarray(0, 8).equals(Magic.optionReply) || header.readUInt32BE(8) !== option
    if (wrong || dataBytes > optionReplyBytesMax) throw violation('not a reply to the option sent')
    const type = header.readUInt32BE(12)
    const data = this.#received.take(optionReplyHeaderBytes + dataBytes)?.subarray(optionReplyHeaderBytes)
    if (data === undefined) return 'incomplete'
    return this.#handle({ option, type, data })
  }

  #handle(reply: { option: number; type: number; data: Buffer }): 'parsed' | 'entered' {
    const { option, type, data } = reply
    if (type === OptionReply.INFO) this.#learn(data)
    if (type === OptionReply.META_CONTEXT) this.#allocationContext = true
    const final = type === OptionReply.ACK || type >= 0x80000000
    if (!final) return 'parsed'
    if (option === Option.GO) {
      if (type !== OptionReply.ACK) throw this.#refused(type)
      return 'entered'
    }
    this.#structuredReplies ||= option === Option.STRUCTURED_REPLY && type === OptionReply.ACK
    const askContext = option === Option.STRUCTURED_REPLY && this.#structuredReplies
    if (askContext) {
      const request = { name: this.#exportName, queries: [allocationContextName] }
      this.#ask(Option.SET_META_CONTEXT, encodeMetaContextRequest(request))
    } else {
      const request = { name: this.#exportName, infoTypes: [Info.BLOCK_SIZE] }
      this.#ask(Option.GO, encodeInfoRequest(request))
    }
    return 'parsed'
  }

  #learn(data: Buffer): void {
    const type = data.length >= 2 ? data.readUInt16BE(0) : undefined
    if (type === Info.EXPORT && data.length === 12) this.#info = decodeExportInfo(data)
    if (type === Info.BLOCK_SIZE && data.length === 14) this.#payloadBytesMax = data.readUInt32BE(10)
  }

  #ask(option: number, data?: Buffer): void {
    this.#waitingFor = option
    this.#send(encodeOption(option, data))
  }

  #refused(type: number): Error {
    const details = { exportName: this.#exportName, replyType: type }
    const why = type === OptionReply.ERR_UNKNOWN ? 'unknown export' : `option reply 0x${type.toString(16)}`
    return fault('NBD_EXPORT_REFUSED', `export "${this.#exportName}" refused: ${why}`, { details })
  }
}

function violation(why: string): Error {
  return fault('NBD_PROTOCOL_VIOLATION', `the NBD server broke the protocol: ${why}`)
}
