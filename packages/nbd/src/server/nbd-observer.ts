/** The commands that are counted; DISC has no reply. */
export type NbdCommandName =
  | 'READ'
  | 'WRITE'
  | 'FLUSH'
  | 'TRIM'
  | 'CACHE'
  | 'WRITE_ZEROES'
  | 'BLOCK_STATUS'
  | 'UNKNOWN'

/** Why a connection ended; stable, a metric label. */
export type NbdCloseReason =
  | 'clientDisconnected'
  | 'clientVanished'
  | 'aborted'
  | 'tooManyConnections'
  | 'handshakeGarbage'
  | 'handshakeDeadline'
  | 'unknownExport'
  | 'optionTooLong'
  | 'requestMagic'
  | 'requestDeadline'
  | 'payloadDeadline'
  | 'payloadTooLong'
  | 'replyDeadline'
  | 'readFailed'
  | 'shutdown'

/**
 * What the server tells metrics and logs. Plain calls with plain values, so that observing a request
 * allocates nothing. An observer must not throw.
 */
export interface NbdObserver {
  connectionOpened?(connectionId: number): void
  /** The handshake is done: the connection uses this export now. */
  exportEntered?(connectionId: number, exportName: string): void
  connectionClosed?(connectionId: number, reason: NbdCloseReason): void
  /** One request was answered; `errno` is 0 or the wire value; `durationMs` is header read → reply queued. */
  requestDone?(done: NbdRequestDone): void
  /** An export failed with something that is not an NbdError: the client sees `EIO` or the system error's equivalent. */
  exportFailed?(exportName: string, command: NbdCommandName, error: unknown): void
}

/** Read-only view of the request itself: valid during the call only. */
export interface NbdRequestDone {
  readonly exportName: string
  readonly command: NbdCommandName
  readonly byteLength: number
  readonly durationMs: number
  readonly errno: number
}
