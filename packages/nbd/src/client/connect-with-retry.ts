import { setTimeout as sleep } from 'node:timers/promises'

import { codeOf } from '@blockferry/runtime'

import { fault } from '../error-catalogue.ts'
import { NbdError } from '../protocol/nbd-error.ts'
import type { NbdAllocation, NbdExtent, NbdWriteOptions, NbdZeroOptions } from '../server/nbd-export.ts'
import type { NbdClient } from './nbd-client.ts'
import { connectNbd } from './nbd-client.ts'
import type { NbdDisk, NbdTarget } from './nbd-disk.ts'

const retryPauseMinMs = 20
const retryPauseMaxMs = 500

export type NbdRetryOptions = NbdTarget & {
  /** How long a request, or the first connection, may be without a server before it fails. */
  readonly deadlineMs: number
  /** Called for every connection made after the first. */
  readonly onReconnect?: () => void
}

/**
 * A client that survives its server: when the connection breaks (or the server says ESHUTDOWN) it
 * connects again and issues what was outstanding once more, oldest first. So a write may be done twice,
 * as any retrying guest does it; a caller that orders overlapping writes by waiting keeps that order.
 * @throws NBD_CONNECT_FAILED when the first connection cannot be made before the deadline
 */
export async function connectNbdWithRetry(options: NbdRetryOptions): Promise<NbdDisk> {
  const disk = new RetryingDisk(options)
  await disk.connect()
  return disk
}

class RetryingDisk implements NbdDisk {
  readonly #options: NbdRetryOptions
  sizeBytes = 0
  readOnly = false
  #client: NbdClient | undefined
  #connecting: Promise<NbdClient> | undefined
  #connections = 0
  #disconnected = false

  constructor(options: NbdRetryOptions) {
    this.#options = options
  }

  async connect(): Promise<void> {
    await this.#connected(Date.now() + this.#options.deadlineMs)
  }

  read(byteOffset: number, byteLength: number): Promise<Buffer> {
    return this.#retry((client) => client.read(byteOffset, byteLength))
  }

  write(byteOffset: number, data: Buffer, options?: Partial<NbdWriteOptions>): Promise<void> {
    return this.#retry((client) => client.write(byteOffset, data, options))
  }

  flush(): Promise<void> {
    return this.#retry((client) => client.flush())
  }

  trim(extent: NbdExtent, options?: Partial<NbdWriteOptions>): Promise<void> {
    return this.#retry((client) => client.trim(extent, options))
  }

  writeZeroes(extent: NbdExtent, options?: Partial<NbdZeroOptions>): Promise<void> {
    return this.#retry((client) => client.writeZeroes(extent, options))
  }

  cache(extent: NbdExtent): Promise<void> {
    return this.#retry((client) => client.cache(extent))
  }

  blockStatus(extent: NbdExtent, options?: { one?: boolean }): Promise<readonly NbdAllocation[]> {
    return this.#retry((client) => client.blockStatus(extent, options))
  }

  async disconnect(): Promise<void> {
    this.#disconnected = true
    await this.#client?.disconnect()
  }

  async #retry<T>(request: (client: NbdClient) => Promise<T>): Promise<T> {
    let failAtMs: number | undefined
    for (;;) {
      const client = this.#client ?? (await this.#connected(failAtMs ?? this.#failAtMs()))
      try {
        return await request(client)
      } catch (error) {
        if (!this.#worthRetrying(error)) throw error
        failAtMs ??= this.#failAtMs()
        if (this.#client === client) this.#client = undefined
        client.destroy()
      }
    }
  }

  #worthRetrying(error: unknown): boolean {
    if (this.#disconnected) return false
    if (error instanceof NbdError) return error.errno === 'ESHUTDOWN'
    return codeOf(error) === 'NBD_CONNECTION_LOST'
  }

  #failAtMs(): number {
    return Date.now() + this.#options.deadlineMs
  }

  #connected(failAtMs: number): Promise<NbdClient> {
    this.#connecting ??= this.#connectUntil(failAtMs).finally(() => {
      this.#connecting = undefined
    })
    return this.#connecting
  }

  async #connectUntil(failAtMs: number): Promise<NbdClient> {
    for (let pauseMs = retryPauseMinMs; ; pauseMs = Math.min(2 * pauseMs, retryPauseMaxMs)) {
      try {
        return this.#adopt(await connectNbd(this.#options))
      } catch (error) {
        // A tap that has just started may not know its disks yet: a refused export is tried again too.
        if (codeOf(error) === 'NBD_PROTOCOL_VIOLATION') throw error
        if (Date.now() + pauseMs > failAtMs || this.#disconnected) throw this.#gaveUp(error)
      }
      await sleep(pauseMs)
    }
  }

  #adopt(client: NbdClient): NbdClient {
    this.#client = client
    this.sizeBytes = client.sizeBytes
    this.readOnly = client.readOnly
    this.#connections += 1
    if (this.#connections > 1) this.#options.onReconnect?.()
    return client
  }

  #gaveUp(cause: unknown): Error {
    const why = cause instanceof Error ? cause.message : String(cause)
    const waitedMs = this.#options.deadlineMs
    return fault('NBD_CONNECT_FAILED', `no NBD server for ${waitedMs} ms: ${why}`, { cause })
  }
}
