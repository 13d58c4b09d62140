import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { waitFor } from '@blockferry/cli'
import { startPeerProcess, waitForSocket, type Peer } from './peer.ts'

/**
 * QEMU's storage daemon exporting an image over NBD while a background blockdev-mirror job, which has reached
 * READY, copies it to a second local file: QEMU's way to keep a second copy of a disk that is written to.
 */
export async function startQemuMirror(options: {
  directory: string
  imagePath: string
  mirrorPath: string
}): Promise<Peer> {
  const socketPath = join(options.directory, 'qsd.sock')
  const monitorPath = join(options.directory, 'qmp.sock')
  const { stop } = startPeerProcess('qemu-storage-daemon', [
    '--blockdev',
    `driver=file,node-name=source,filename=${options.imagePath},cache.direct=off`,
    '--blockdev',
    `driver=file,node-name=mirror,filename=${options.mirrorPath},cache.direct=off`,
    '--chardev',
    `socket,id=qmp,path=${monitorPath},server=on,wait=off`,
    '--monitor',
    'chardev=qmp',
    '--nbd-server',
    `addr.type=unix,addr.path=${socketPath}`,
    '--export',
    'type=nbd,id=vda,node-name=source,name=vda,writable=on',
  ])
  await waitForSocket(socketPath)
  await startMirrorJob(monitorPath)
  return { uri: `nbd+unix:///vda?socket=${socketPath}`, [Symbol.asyncDispose]: stop }
}

interface QmpMessage {
  readonly event?: string
  readonly error?: { readonly desc: string }
  readonly return?: unknown
}

async function startMirrorJob(monitorPath: string): Promise<void> {
  const socket = createConnection(monitorPath)
  const seen: QmpMessage[] = []
  createInterface({ input: socket }).on('line', (line) => seen.push(JSON.parse(line) as QmpMessage))
  try {
    await command(socket, { name: 'qmp_capabilities', seen })
    const args = {
      'job-id': 'mirror',
      device: 'source',
      target: 'mirror',
      sync: 'full',
      'copy-mode': 'background',
    }
    await command(socket, { name: 'blockdev-mirror', args, seen })
    const ready = () => seen.some((message) => message.event === 'BLOCK_JOB_READY')
    await waitFor(ready, {
      what: 'the mirror job to be ready',
      deadlineMs: 120_000,
      explain: () => JSON.stringify(seen),
    })
  } finally {
    socket.destroy()
  }
}

async function command(
  socket: Socket,
  call: { name: string; args?: object; seen: QmpMessage[] },
): Promise<void> {
  const answersBefore = call.seen.filter((message) => 'return' in message).length
  socket.write(`${JSON.stringify({ execute: call.name, arguments: call.args ?? {} })}\n`)
  const answered = () => {
    const failure = call.seen.find((message) => message.error !== undefined)
    if (failure !== undefined) throw new Error(`${call.name}: ${failure.error?.desc}`)
    return call.seen.filter((message) => 'return' in message).length > answersBefore
  }
  await waitFor(answered, { what: `QMP to answer ${call.name}`, deadlineMs: 10_000 })
}
