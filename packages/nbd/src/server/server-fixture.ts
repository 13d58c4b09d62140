import { mkdtemp, rm } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { NbdClient } from '../client/nbd-client.ts'
import { connectNbd } from '../client/nbd-client.ts'
import { Option } from '../protocol/constants.ts'
import { encodeInfoRequest, encodeOption } from '../protocol/option-codec.ts'
import type { NbdServerLimits } from './limits.ts'
import { exportsOf, MemoryExport } from './memory-export.ts'
import type { NbdCloseReason } from './nbd-observer.ts'
import type { NbdServer } from './nbd-server.ts'
import { createNbdServer } from './nbd-server.ts'

/** For tests: a server in this process, with two disks in memory, on a unix socket. */
export interface ServerFixture extends AsyncDisposable {
  readonly server: NbdServer
  readonly path: string
  readonly vda: MemoryExport
  readonly vdb: MemoryExport
  readonly closedFor: NbdCloseReason[]
  client(exportName?: string): Promise<NbdClient>
  /** A socket that speaks for itself: what it says, what it heard, whether it was closed. */
  raw(...messages: Buffer[]): RawClient
  /** A second server on the same path, after the first was closed. */
  restart(): Promise<NbdServer>
}

export interface RawClient {
  readonly socket: Socket
  heard(): Buffer
  closed(): boolean
}

/** Client flags (fixed newstyle, no zeroes) and GO: with these a raw client is in the transmission phase. */
export function rawHandshake(exportName: string): Buffer {
  const go = encodeOption(Option.GO, encodeInfoRequest({ name: exportName, infoTypes: [] }))
  return Buffer.concat([Buffer.from([0, 0, 0, 3]), go])
}

export async function startServerFixture(limits: Partial<NbdServerLimits> = {}): Promise<ServerFixture> {
  const directory = await mkdtemp(join(tmpdir(), 'blockferry-nbd-'))
  const path = join(directory, 'socket')
  const vda = new MemoryExport('vda', 1 << 20)
  const vdb = new MemoryExport('vdb', 1 << 20)
  const closedFor: NbdCloseReason[] = []
  const start = async (): Promise<NbdServer> => {
    const observer = { connectionClosed: (_: number, reason: NbdCloseReason) => closedFor.push(reason) }
    const server = createNbdServer({ exports: exportsOf(vda, vdb), limits, observer })
    await server.listen({ path })
    return server
  }
  const servers = [await start()]
  const clients: NbdClient[] = []
  const sockets: Socket[] = []
  return {
    server: servers[0] as NbdServer,
    path,
    vda,
    vdb,
    closedFor,
    async client(exportName = 'vda') {
      const client = await connectNbd({ path, exportName })
      clients.push(client)
      return client
    },
    raw(...messages) {
      const raw = openRaw(path, messages)
      sockets.push(raw.socket)
      return raw
    },
    async restart() {
      const server = await start()
      servers.push(server)
      return server
    },
    async [Symbol.asyncDispose]() {
      vda.hold = undefined
      vdb.hold = undefined
      for (const socket of sockets) socket.destroy()
      for (const client of clients) client.destroy()
      for (const server of servers) await server.close()
      await rm(directory, { recursive: true })
    },
  }
}

function openRaw(path: string, messages: readonly Buffer[]): RawClient {
  const socket = connect({ path })
  const chunks: Buffer[] = []
  let closed = false
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => (closed = true))
  socket.on('close', () => (closed = true))
  for (const message of messages) socket.write(message)
  return { socket, heard: () => Buffer.concat(chunks), closed: () => closed }
}
