import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { Address } from '@blockferry/runtime/service'
import { carryConnection, type ProxyDeps } from './proxy-connection.ts'

/** Connections beyond this many are refused; MirrorMaker needs about twenty. */
export const connectionsMax = 512

export interface WanProxy extends AsyncDisposable {
  readonly address: Address
  connections(): number
}

/** Listens and carries every connection over the link. */
export async function openWanProxy(
  options: ProxyDeps & { readonly listen: Address; readonly onFailure: (error: unknown) => void },
): Promise<WanProxy> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    sockets.add(client)
    client.on('close', () => sockets.delete(client))
    carryConnection(client, options).catch(options.onFailure)
  })
  server.maxConnections = connectionsMax
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.listen.port, options.listen.host, resolve)
  })
  const { address, port } = server.address() as AddressInfo
  return {
    address: { host: address, port },
    connections: () => sockets.size,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
