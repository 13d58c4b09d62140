import { KiB, MiB } from '@blockferry/runtime'

/** Every bound of the server (G9). docs/nbd-support.md tells users what happens at each. */
export interface NbdServerLimits {
  /** Connections served at once; one more is closed at once and counted. */
  readonly connectionsMax: number
  /** From accept to the transmission phase. */
  readonly handshakeDeadlineMs: number
  /** Silence in the middle of a request. Idle between requests is unlimited. */
  readonly requestDeadlineMs: number
  /** From a WRITE's admission to its last payload byte, however it trickles in: it holds budget that long. */
  readonly payloadDeadlineMs: number
  /** No progress of replies that the client does not read. */
  readonly replyDeadlineMs: number
  /** From close() until connections with unfinished requests are cut. */
  readonly shutdownDeadlineMs: number
  /** Data of one option; a longer one is skipped and refused, one above 16 times this ends the connection. */
  readonly optionBytesMax: number
  /** Longest READ or WRITE: the maximum payload size of NBD_INFO_BLOCK_SIZE. */
  readonly payloadBytesMax: number
  /** Payload in flight over all connections; at the limit sockets are not read. */
  readonly inFlightBytesMax: number
  /** Unsent reply bytes of one connection; at the limit its socket is not read. */
  readonly replyBytesMax: number
  /** Entries of one block status reply. */
  readonly allocationEntriesMax: number
  /** Idle time before TCP keepalive probes start. */
  readonly keepAliveMs: number
}

export const defaultNbdServerLimits: NbdServerLimits = {
  connectionsMax: 256,
  handshakeDeadlineMs: 10_000,
  requestDeadlineMs: 30_000,
  payloadDeadlineMs: 60_000,
  replyDeadlineMs: 30_000,
  shutdownDeadlineMs: 10_000,
  optionBytesMax: 64 * KiB,
  payloadBytesMax: 32 * MiB,
  inFlightBytesMax: 32 * MiB,
  replyBytesMax: 1 * MiB,
  allocationEntriesMax: 4096,
  keepAliveMs: 60_000,
}
