import { assert } from '@blockferry/runtime'

import { Command, CommandFlag } from '../protocol/constants.ts'
import type { Cookie, StatusDescriptor } from '../protocol/reply-codec.ts'
import type { RequestHeader } from '../protocol/request-codec.ts'
import type { BudgetGrant } from './in-flight-budget.ts'
import type { NbdAllocation } from './nbd-export.ts'
import type { NbdCommandName, NbdObserver, NbdRequestDone } from './nbd-observer.ts'

/** Bytes a request without much payload counts against the budget, which so bounds their number too. */
export const requestBytesMin = 4096

const commandNames: readonly NbdCommandName[] = [
  'READ',
  'WRITE',
  'UNKNOWN',
  'FLUSH',
  'TRIM',
  'CACHE',
  'WRITE_ZEROES',
  'BLOCK_STATUS',
]

/** Bytes a request holds of the budget from its admission to its release. */
export function budgetBytesOf(header: RequestHeader): number {
  const carriesData = header.type === Command.READ || header.type === Command.WRITE
  return carriesData ? Math.max(requestBytesMin, header.byteLength) : requestBytesMin
}

/** Where the fate of a request is told. */
export interface RequestOwner {
  readDone(request: PendingRequest, data: Buffer | readonly Buffer[]): void
  statusDone(request: PendingRequest, allocations: readonly NbdAllocation[]): void
  done(request: PendingRequest): void
  failed(request: PendingRequest, error: unknown): void
  releaseBytes(byteLength: number, grant: BudgetGrant): void
}

/** One request between its admission and its reply. */
export class PendingRequest implements Cookie, NbdRequestDone {
  readonly header: RequestHeader
  readonly cookieHigh: number
  readonly cookieLow: number
  readonly #owner: RequestOwner
  readonly #startedMs = performance.now()
  #grant: BudgetGrant | undefined
  durationMs = 0
  errno = 0
  exportName = ''

  /** `grant`: undefined when refused before it held any budget. */
  constructor(owner: RequestOwner, header: RequestHeader, grant: BudgetGrant | undefined) {
    this.#owner = owner
    this.header = header
    this.cookieHigh = header.cookieHigh
    this.cookieLow = header.cookieLow
    this.#grant = grant
  }

  get byteOffset(): number {
    return this.header.byteOffset
  }

  get byteLength(): number {
    return this.header.byteLength
  }

  get command(): NbdCommandName {
    return commandNames[this.header.type] ?? 'UNKNOWN'
  }

  readonly done = (): void => this.#owner.done(this)
  readonly failed = (error: unknown): void => this.#owner.failed(this, error)
  readonly readDone = (data: Buffer | readonly Buffer[]): void => this.#owner.readDone(this, data)
  readonly statusDone = (allocations: readonly NbdAllocation[]): void =>
    this.#owner.statusDone(this, allocations)

  /** Gives the budget back; only the first call counts (N3). */
  readonly release = (): void => {
    const grant = this.#grant
    if (grant === undefined) return
    this.#grant = undefined
    this.#owner.releaseBytes(budgetBytesOf(this.header), grant)
  }

  checkLength(data: Buffer | readonly Buffer[]): void {
    let byteLength = 0
    if (Buffer.isBuffer(data)) byteLength = data.length
    else for (const part of data) byteLength += part.length
    assert(byteLength === this.byteLength, 'an export reads exactly what was asked for')
  }

  checkStatus(descriptors: readonly StatusDescriptor[]): void {
    let byteLength = 0
    for (const descriptor of descriptors) {
      assert(descriptor.byteLength > 0, 'an allocation is not empty')
      byteLength += descriptor.byteLength
    }
    const one = (this.header.commandFlags & CommandFlag.REQ_ONE) !== 0
    assert(descriptors.length > 0 && !(one && descriptors.length > 1), 'REQ_ONE: exactly one')
    assert(byteLength <= this.byteLength, 'an allocation map ends with its extent')
  }

  observe(observer: NbdObserver, exportName: string, errno: number): void {
    this.exportName = exportName
    this.errno = errno
    this.durationMs = performance.now() - this.#startedMs
    observer.requestDone?.(this)
  }
}
