/**
 * Words and values of the NBD specification (doc/proto.md of NetworkBlockDevice/nbd), verbatim but for
 * the `NBD_` prefix and the groups they stand in.
 */

/** 64-bit magics as two 32-bit words, so that no BigInt is made: ASCII 'NBDMAGIC', 'IHAVEOPT', and 0x3e889045565a9. */
export const Magic = {
  initPasswd: Buffer.from('NBDMAGIC', 'latin1'),
  iHaveOpt: Buffer.from('IHAVEOPT', 'latin1'),
  optionReply: Buffer.from('0003e889045565a9', 'hex'),
  request: 0x25609513,
  simpleReply: 0x67446698,
  structuredReply: 0x668e33ef,
} as const

/** "Handshake flags" (server) and "Client flags". */
export const HandshakeFlag = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const

/** "Transmission flags". */
export const TransmissionFlag = {
  HAS_FLAGS: 1 << 0,
  READ_ONLY: 1 << 1,
  SEND_FLUSH: 1 << 2,
  SEND_FUA: 1 << 3,
  ROTATIONAL: 1 << 4,
  SEND_TRIM: 1 << 5,
  SEND_WRITE_ZEROES: 1 << 6,
  SEND_DF: 1 << 7,
  CAN_MULTI_CONN: 1 << 8,
  SEND_RESIZE: 1 << 9,
  SEND_CACHE: 1 << 10,
  SEND_FAST_ZERO: 1 << 11,
} as const

/** "Option types". */
export const Option = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
} as const

/** "Option reply types"; errors have bit 31 set. */
export const OptionReply = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x80000001,
  ERR_POLICY: 0x80000002,
  ERR_INVALID: 0x80000003,
  ERR_UNKNOWN: 0x80000006,
  ERR_SHUTDOWN: 0x80000007,
  ERR_BLOCK_SIZE_REQD: 0x80000008,
  ERR_TOO_BIG: 0x80000009,
} as const

/** Information types of NBD_REP_INFO. */
export const Info = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const

/** "Request types". */
export const Command = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const

/** "Command flags". */
export const CommandFlag = { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8, FAST_ZERO: 16 } as const

/** "Structured reply types" and the one structured reply flag. */
export const ReplyType = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const
export const ReplyFlag = { DONE: 1 } as const

/** "base:allocation metadata context". */
export const AllocationState = { HOLE: 1, ZERO: 2 } as const
export const allocationContextName = 'base:allocation'
/** The one context has the one id. */
export const allocationContextId = 1

/** "Conventions": a string "MUST be no longer than 4096 bytes". */
export const stringBytesMax = 4096
/** "Size constraints": minimum and preferred block size of every export of ours. */
export const blockBytesMin = 1
export const blockBytesPreferred = 4096

export const requestHeaderBytes = 28
export const simpleReplyBytes = 16
export const structuredReplyBytes = 20
export const optionHeaderBytes = 16
export const optionReplyHeaderBytes = 20
