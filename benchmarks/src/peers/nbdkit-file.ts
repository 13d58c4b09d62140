import { join } from 'node:path'
import { startPeerProcess, waitForSocket, type Peer } from './peer.ts'

/** nbdkit's file plugin on an image: the data plane alone, no replication. */
export async function startNbdkitFile(options: { directory: string; imagePath: string }): Promise<Peer> {
  const socketPath = join(options.directory, 'nbdkit.sock')
  const { stop } = startPeerProcess('nbdkit', [
    '-f',
    '-U',
    socketPath,
    '-e',
    'vda',
    'file',
    options.imagePath,
  ])
  await waitForSocket(socketPath)
  return { uri: `nbd+unix:///vda?socket=${socketPath}`, [Symbol.asyncDispose]: stop }
}
