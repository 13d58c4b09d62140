/** NBD specification, "Error values": the only values the error field of a reply may hold. */
export const NbdErrno = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const
export type NbdErrnoName = keyof typeof NbdErrno

export interface NbdErrorOptions extends ErrorOptions {
  readonly byteOffset?: number
}

/**
 * The failure of one NBD request. An export throws it to choose the errno its client sees; the client
 * throws it with the errno the server sent. It never ends a connection.
 */
export class NbdError extends Error {
  override readonly name = 'NbdError'
  readonly errno: NbdErrnoName
  /** Where in the request it failed, when known: NBD_REPLY_TYPE_ERROR_OFFSET. Must lie within the request. */
  readonly byteOffset: number | undefined

  constructor(errno: NbdErrnoName, message: string = errno, options: NbdErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.errno = errno
    this.byteOffset = options.byteOffset
  }
}

const namesByValue = new Map(
  Object.entries(NbdErrno).map(([name, value]) => [value as number, name as NbdErrnoName]),
)

/** The name of a wire value. "The client SHOULD treat an unexpected error value as if it had been NBD_EINVAL". */
export function errnoNameOf(wireValue: number): NbdErrnoName {
  return namesByValue.get(wireValue) ?? 'EINVAL'
}

// "It also SHOULD map the EDQUOT and EFBIG errors to NBD_ENOSPC."
const errnoBySystemCode: Readonly<Record<string, NbdErrnoName>> = {
  EPERM: 'EPERM',
  EACCES: 'EPERM',
  EROFS: 'EPERM',
  ENOMEM: 'ENOMEM',
  EINVAL: 'EINVAL',
  ENOSPC: 'ENOSPC',
  EDQUOT: 'ENOSPC',
  EFBIG: 'ENOSPC',
}

/** What a client is told about anything an export throws: NbdError's own errno, a system error's equivalent, else EIO. */
export function errnoOf(error: unknown): NbdErrnoName {
  if (error instanceof NbdError) return error.errno
  if (typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string') {
    return errnoBySystemCode[error.code] ?? 'EIO'
  }
  return 'EIO'
}
