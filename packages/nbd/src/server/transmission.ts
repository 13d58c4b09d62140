import { assert, AssertionError } from '@blockferry/runtime'

import { allocationContextId, AllocationState, Command, CommandFlag } from '../protocol/constants.ts'
import { errnoOf, NbdErrno, NbdError } from '../protocol/nbd-error.ts'
import { encodeBlockStatusChunk, encodeErrorChunk } from '../protocol/reply-codec.ts'
import type { RequestHeader } from '../protocol/request-codec.ts'
import type { RequestSink } from '../protocol/request-parser.ts'
import { RequestParser } from '../protocol/request-parser.ts'
import type { BudgetAccount, BudgetGrant, BudgetWaiter, InFlightBudget } from './in-flight-budget.ts'
import type { NbdServerLimits } from './limits.ts'
import type { Negotiated } from './negotiation.ts'
import type { NbdAllocation } from './nbd-export.ts'
import type { NbdCloseReason, NbdObserver } from './nbd-observer.ts'
import { budgetBytesOf, PendingRequest } from './pending-request.ts'
import type { ReplyWriter } from './reply-writer.ts'
import { refusalOf } from './request-check.ts'

/** Draining the payload of a refused WRITE is polite up to this many times the maximum payload size. */
const drainFactorMax = 2

export interface TransmissionOptions {
  readonly negotiated: Negotiated
  readonly limits: NbdServerLimits
  readonly budget: InFlightBudget
  readonly account: BudgetAccount
  readonly replies: ReplyWriter
  readonly observer: NbdObserver
  /** The client may send no more: close once nothing is in flight. */
  readonly ended: (reason: NbdCloseReason) => void
  /** Runs whenever reading may have to stop or go on, and whenever the last request in flight was answered. */
  readonly changed: () => void
}

/**
 * The transmission phase of one connection: requests run concurrently, replies go out in completion order.
 *
 * Invariant N1: a success reply is queued only after the export's promise resolved.
 * Invariant N2: the export never sees a request that refusalOf refuses.
 * Invariant N3: every admitted byte is released exactly once: a READ's when the socket let go of its data,
 * any other's when its reply is queued, and that of a request whose payload never came when its connection ends.
 */
export class Transmission implements RequestSink {
  readonly #options: TransmissionOptions
  readonly parser: RequestParser = new RequestParser(this)
  #inFlight = 0
  #shuttingDown = false
  #closed = false
  /** What the request that is being received holds of the budget: from its admission until it is accepted. */
  #granted: BudgetGrant | undefined
  #grantedBytes = 0
  #admissions = 0
  #waiter: BudgetWaiter | undefined

  constructor(options: TransmissionOptions) {
    this.#options = options
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Serial number of the admission whose payload is still coming; 0 when none is. */
  get receiving(): number {
    return this.#granted === undefined ? 0 : this.#admissions
  }

  /** From here on every new request is answered ESHUTDOWN. */
  shutDown(): void {
    this.#shuttingDown = true
  }

  /** The socket is gone: requests in flight finish unheard. */
  close(): void {
    this.#closed = true
    if (this.#waiter !== undefined) this.#options.budget.forget(this.#waiter)
    this.#waiter = undefined
    const granted = this.#granted
    this.#granted = undefined
    if (granted !== undefined) this.releaseBytes(this.#grantedBytes, granted)
  }

  admit(header: RequestHeader): 'take' | 'skip' | 'wait' | 'stop' {
    // What was received with the bytes that ended the connection: nobody would hear the answer.
    if (this.#closed) return 'stop'
    if (this.#granted !== undefined) return 'take'
    if (header.type === Command.DISC) {
      this.#options.ended('clientDisconnected')
      return 'stop'
    }
    const { negotiated, limits } = this.#options
    const refusal = refusalOf(header, negotiated, limits.payloadBytesMax)
    if (refusal !== undefined) {
      const undrainable =
        header.type === Command.WRITE && header.byteLength > limits.payloadBytesMax * drainFactorMax
      if (undrainable) {
        this.#options.ended('payloadTooLong')
        return 'stop'
      }
      this.#refuse(header, new NbdError(refusal.errno, refusal.why))
      return 'skip'
    }
    if (this.#shuttingDown) {
      this.#refuse(header, new NbdError('ESHUTDOWN', 'the server is shutting down'))
      return 'skip'
    }
    return this.#admitBytes(header)
  }

  accept(header: RequestHeader, payload: Buffer | null): void {
    const grant = this.#granted
    assert(grant !== undefined, 'N3: what is accepted was admitted')
    this.#granted = undefined
    this.#inFlight += 1
    const request = new PendingRequest(this, header, grant)
    try {
      this.#start(request, payload)
    } catch (error) {
      request.failed(error)
    }
  }

  rejectMagic(): void {
    this.#options.ended('requestMagic')
  }

  /** READ is answered: `data` holds its bytes. */
  readDone(request: PendingRequest, data: Buffer | readonly Buffer[]): void {
    const { replies, negotiated } = this.#options
    request.checkLength(data)
    if (this.#closed) request.release()
    else if (negotiated.structuredReplies) replies.offsetData(request, data, request.release)
    else replies.simpleData(request, data, request.release)
    this.#finish(request, 0)
  }

  statusDone(request: PendingRequest, allocations: readonly NbdAllocation[]): void {
    const descriptors = allocations.map((allocation) => ({
      byteLength: allocation.byteLength,
      status: statusOf(allocation.kind),
    }))
    request.checkStatus(descriptors)
    const { cookieHigh, cookieLow } = request
    const chunk = { cookieHigh, cookieLow, contextId: allocationContextId, descriptors }
    if (!this.#closed) this.#options.replies.message(encodeBlockStatusChunk(chunk))
    request.release()
    this.#finish(request, 0)
  }

  done(request: PendingRequest): void {
    if (!this.#closed) this.#options.replies.simple(request, 0)
    request.release()
    this.#finish(request, 0)
  }

  failed(request: PendingRequest, error: unknown): void {
    // A broken invariant of ours: rethrown from a promise handler, it ends the process.
    if (error instanceof AssertionError) throw error
    const { observer, negotiated } = this.#options
    if (!(error instanceof NbdError)) {
      observer.exportFailed?.(negotiated.disk.name, request.command, error)
    }
    this.#replyError(request, error)
    request.release()
    this.#finish(request, NbdErrno[errnoOf(error)])
  }

  releaseBytes(byteLength: number, grant: BudgetGrant): void {
    this.#options.budget.release(this.#options.account, byteLength, grant)
  }

  #admitBytes(header: RequestHeader): 'take' | 'wait' {
    const { budget, account } = this.#options
    const byteLength = budgetBytesOf(header)
    const grant = budget.tryAdmit(account, byteLength)
    if (grant !== undefined) {
      this.#grant(grant, byteLength)
      return 'take'
    }
    const admitted = (late: BudgetGrant): void => {
      this.#waiter = undefined
      this.#grant(late, byteLength)
      this.parser.resume()
      this.#options.changed()
    }
    this.#waiter = { account, byteLength, admitted }
    budget.wait(this.#waiter)
    return 'wait'
  }

  #grant(grant: BudgetGrant, byteLength: number): void {
    this.#granted = grant
    this.#grantedBytes = byteLength
    this.#admissions += 1
  }

  #start(request: PendingRequest, payload: Buffer | null): void {
    const { disk } = this.#options.negotiated
    const { byteOffset, byteLength, commandFlags } = request.header
    const fua = (commandFlags & CommandFlag.FUA) !== 0
    if (byteLength === 0 && request.header.type !== Command.FLUSH) {
      this.#doneWithNothing(request)
      return
    }
    switch (request.header.type) {
      case Command.READ:
        void disk.read(byteOffset, byteLength).then(request.readDone, request.failed)
        return
      case Command.WRITE:
        void disk.write(byteOffset, payload as Buffer, { fua }).then(request.done, request.failed)
        return
      case Command.FLUSH:
        void disk.flush().then(request.done, request.failed)
        return
      case Command.TRIM:
        void disk.trim({ byteOffset, byteLength }, { fua }).then(request.done, request.failed)
        return
      case Command.CACHE:
        void disk.cache({ byteOffset, byteLength }).then(request.done, request.failed)
        return
      case Command.WRITE_ZEROES: {
        const mayUnmap = (commandFlags & CommandFlag.NO_HOLE) === 0
        const fast = (commandFlags & CommandFlag.FAST_ZERO) !== 0
        const zeroed = disk.writeZeroes({ byteOffset, byteLength }, { fua, mayUnmap, fast })
        void zeroed.then(request.done, request.failed)
        return
      }
      case Command.BLOCK_STATUS: {
        const one = (commandFlags & CommandFlag.REQ_ONE) !== 0
        const entriesMax = one ? 1 : this.#options.limits.allocationEntriesMax
        const status = disk.blockStatus({ byteOffset, byteLength }, entriesMax)
        void status.then(request.statusDone, request.failed)
        return
      }
      default:
        throw new AssertionError(`N2: command ${request.header.type} was let through`)
    }
  }

  /** A length of 0 is unspecified, but "the server SHOULD NOT disconnect": it succeeds and does nothing. */
  #doneWithNothing(request: PendingRequest): void {
    const structuredRead = request.header.type === Command.READ && this.#options.negotiated.structuredReplies
    if (!structuredRead) {
      this.done(request)
      return
    }
    this.#options.replies.none(request)
    request.release()
    this.#finish(request, 0)
  }

  #refuse(header: RequestHeader, error: NbdError): void {
    this.#inFlight += 1
    const request = new PendingRequest(this, header, undefined)
    this.#replyError(request, error)
    this.#finish(request, NbdErrno[error.errno])
  }

  #replyError(request: PendingRequest, error: unknown): void {
    if (this.#closed) return
    const { replies, negotiated } = this.#options
    const errnoName = errnoOf(error)
    const errno = NbdErrno[errnoName]
    if (!negotiated.structuredReplies) {
      replies.simple(request, errno)
      return
    }
    // The text of a foreign error may name paths: the client gets the errno's name instead.
    const message = error instanceof NbdError ? error.message : errnoName
    const { cookieHigh, cookieLow } = request
    const byteOffset = error instanceof NbdError ? error.byteOffset : undefined
    const located = byteOffset === undefined ? {} : { byteOffset }
    replies.message(encodeErrorChunk({ cookieHigh, cookieLow, errno, message, ...located }))
  }

  #finish(request: PendingRequest, errno: number): void {
    this.#inFlight -= 1
    const { observer, negotiated } = this.#options
    if (observer.requestDone !== undefined) {
      request.observe(observer, negotiated.disk.name, errno)
    }
    if (this.#inFlight === 0) this.#options.changed()
  }
}

function statusOf(kind: NbdAllocation['kind']): number {
  if (kind === 'data') return 0
  return kind === 'zero' ? AllocationState.ZERO : AllocationState.HOLE | AllocationState.ZERO
}
