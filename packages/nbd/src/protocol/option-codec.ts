import { isUtf8 } from 'node:buffer'

import {
  allocationContextName,
  blockBytesMin,
  blockBytesPreferred,
  HandshakeFlag,
  Info,
  Magic,
  optionHeaderBytes,
  optionReplyHeaderBytes,
  stringBytesMax,
} from './constants.ts'
import { readUint64, writeUint64 } from './wire-integers.ts'

/** What a handshake tells about an export. */
export interface ExportInfo {
  readonly sizeBytes: number
  readonly transmissionFlags: number
}

/** S: NBDMAGIC, IHAVEOPT, handshake flags: the first words of every connection. */
export function encodeServerGreeting(): Buffer {
  const flags = Buffer.from([0, HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES])
  return Buffer.concat([Magic.initPasswd, Magic.iHaveOpt, flags])
}

/** C: IHAVEOPT, option, length, data. */
export function encodeOption(option: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const message = Buffer.alloc(optionHeaderBytes + data.length)
  Magic.iHaveOpt.copy(message)
  message.writeUInt32BE(option, 8)
  message.writeUInt32BE(data.length, 12)
  data.copy(message, optionHeaderBytes)
  return message
}

export interface OptionReplyMessage {
  readonly option: number
  readonly type: number
  readonly data: Buffer
}

/** S: option reply magic, option, reply type, length, data. */
export function encodeOptionReply(reply: { option: number; type: number; data?: Buffer }): Buffer {
  const data = reply.data ?? Buffer.alloc(0)
  const message = Buffer.alloc(optionReplyHeaderBytes + data.length)
  Magic.optionReply.copy(message)
  message.writeUInt32BE(reply.option, 8)
  message.writeUInt32BE(reply.type, 12)
  message.writeUInt32BE(data.length, 16)
  data.copy(message, optionReplyHeaderBytes)
  return message
}

/** NBD_REP_SERVER: name, then a description for humans. */
export function encodeServerEntry(name: string, description = ''): Buffer {
  return Buffer.concat([encodeString(name), Buffer.from(description, 'utf8')])
}

/** NBD_INFO_EXPORT. */
export function encodeExportInfo(info: ExportInfo): Buffer {
  const data = Buffer.alloc(12)
  data.writeUInt16BE(Info.EXPORT, 0)
  writeUint64(data, info.sizeBytes, 2)
  data.writeUInt16BE(info.transmissionFlags, 10)
  return data
}

export function decodeExportInfo(data: Buffer): ExportInfo {
  return { sizeBytes: readUint64(data, 2), transmissionFlags: data.readUInt16BE(10) }
}

/** NBD_INFO_NAME or NBD_INFO_DESCRIPTION. */
export function encodeTextInfo(type: number, text: string): Buffer {
  const data = Buffer.alloc(2 + Buffer.byteLength(text))
  data.writeUInt16BE(type, 0)
  data.write(text, 2)
  return data
}

/** NBD_INFO_BLOCK_SIZE: 1 / 4096 / `payloadBytesMax` (T1). */
export function encodeBlockSizeInfo(payloadBytesMax: number): Buffer {
  const data = Buffer.alloc(14)
  data.writeUInt16BE(Info.BLOCK_SIZE, 0)
  data.writeUInt32BE(blockBytesMin, 2)
  data.writeUInt32BE(blockBytesPreferred, 6)
  data.writeUInt32BE(payloadBytesMax, 10)
  return data
}

/** NBD_REP_META_CONTEXT. */
export function encodeMetaContext(contextId: number, name: string = allocationContextName): Buffer {
  const data = Buffer.alloc(4 + Buffer.byteLength(name))
  data.writeUInt32BE(contextId, 0)
  data.write(name, 4)
  return data
}

/** The answer to NBD_OPT_EXPORT_NAME, the one option without a reply header. */
export function encodeExportNameAnswer(info: ExportInfo, zeroes: boolean): Buffer {
  const data = Buffer.alloc(zeroes ? 134 : 10)
  writeUint64(data, info.sizeBytes, 0)
  data.writeUInt16BE(info.transmissionFlags, 8)
  return data
}

/** Data of NBD_OPT_INFO and NBD_OPT_GO. */
export interface InfoRequest {
  readonly name: string
  readonly infoTypes: readonly number[]
}

export function encodeInfoRequest(request: InfoRequest): Buffer {
  const types = Buffer.alloc(2 + 2 * request.infoTypes.length)
  types.writeUInt16BE(request.infoTypes.length, 0)
  request.infoTypes.forEach((type, index) => types.writeUInt16BE(type, 2 + 2 * index))
  return Buffer.concat([encodeString(request.name), types])
}

/** Undefined: syntactically invalid (NBD_REP_ERR_INVALID). */
export function decodeInfoRequest(data: Buffer): InfoRequest | undefined {
  const named = decodeString(data, 0)
  if (named === undefined || data.length < named.end + 2) return undefined
  const count = data.readUInt16BE(named.end)
  if (data.length !== named.end + 2 + 2 * count) return undefined
  const infoTypes = Array.from({ length: count }, (_, index) => data.readUInt16BE(named.end + 2 + 2 * index))
  return { name: named.text, infoTypes }
}

/** Data of NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT. */
export interface MetaContextRequest {
  readonly name: string
  readonly queries: readonly string[]
}

export function encodeMetaContextRequest(request: MetaContextRequest): Buffer {
  const count = Buffer.alloc(4)
  count.writeUInt32BE(request.queries.length, 0)
  return Buffer.concat([encodeString(request.name), count, ...request.queries.map(encodeString)])
}

/** Undefined: syntactically invalid, "such as a query length that would require reading beyond the original length". */
export function decodeMetaContextRequest(data: Buffer): MetaContextRequest | undefined {
  const named = decodeString(data, 0)
  if (named === undefined || data.length < named.end + 4) return undefined
  const count = data.readUInt32BE(named.end)
  const queries: string[] = []
  let at = named.end + 4
  for (let index = 0; index < count; index += 1) {
    const query = decodeString(data, at)
    if (query === undefined) return undefined
    queries.push(query.text)
    at = query.end
  }
  return at === data.length ? { name: named.text, queries } : undefined
}

/** Undefined when longer than a string may be, or not UTF-8: no export has such a name. */
export function decodeName(bytes: Buffer): string | undefined {
  if (bytes.length > stringBytesMax || bytes.includes(0)) return undefined
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined
}

function encodeString(text: string): Buffer {
  const data = Buffer.alloc(4 + Buffer.byteLength(text))
  data.writeUInt32BE(data.length - 4, 0)
  data.write(text, 4)
  return data
}

function decodeString(data: Buffer, at: number): { text: string; end: number } | undefined {
  if (data.length < at + 4) return undefined
  const end = at + 4 + data.readUInt32BE(at)
  if (end > data.length) return undefined
  const text = decodeName(data.subarray(at + 4, end))
  return text === undefined ? undefined : { text, end }
}
